//! Who the adapter is, and which urls it takes.

use whimbrel_adapter_api::{ErrorKind, Secret};

use super::{Check, Outcome, check};
use crate::bench::Bench;
use crate::finding::{During, agree, holds, refused};
use crate::report::Verdict;

pub(super) const CHECKS: &[Check] = &[
    check("it says who it is, and says the same again", name),
    check("its own url is taken, another one is refused", urls),
    check("a url that is refused is not quoted", discretion),
];

/// No adapter serves this.
const FOREIGN: &str = "whimbrel-check-nowhere://host/birds";

fn name(bench: &Bench) -> Outcome {
    let info = &bench.info;
    let is_name = |name: &String| {
        let fits =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_+.".contains(letter);
        !name.is_empty() && name.chars().all(fits)
    };
    let names = [&info.name].into_iter().chain(&info.aliases).chain(&info.schemes);
    for name in names {
        holds(is_name(name), format!("`{name}` is no name in lower case"))?;
    }
    holds(!info.version.is_empty(), "there is no version")?;
    holds(!info.schemes.is_empty(), "there is no url scheme")?;
    agree("the second answer", &bench.adapter.info(), info)?;
    Ok(Verdict::Passed)
}

fn urls(bench: &Bench) -> Outcome {
    bench.adapter.check_url(&bench.options.url).during("its own url")?;
    refused("a foreign url", bench.adapter.check_url(&Secret::new(FOREIGN)), ErrorKind::InvalidUrl)?;
    Ok(Verdict::Passed)
}

fn discretion(bench: &Bench) -> Outcome {
    const PASSWORD: &str = "hunter2-of-the-check";
    let scheme = bench.info.schemes.first().map(String::as_str).unwrap_or_default();
    for url in [
        format!("whimbrel-check-nowhere://user:{PASSWORD}@host/birds"),
        format!("{scheme}://user:{PASSWORD}@host:no-port/birds?no-such-parameter={PASSWORD}"),
    ] {
        if let Err(error) = bench.adapter.check_url(&Secret::new(url)) {
            holds(!format!("{error:?}").contains(PASSWORD), "the error quotes the password")?;
        }
    }
    Ok(Verdict::Passed)
}

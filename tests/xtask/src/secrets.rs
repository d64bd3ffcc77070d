//! Searches what the tests brought to light for the passwords that they use.
//!
//! The harness keeps it in a folder of the run: what every run of a program printed, the files it wrote, the rows of the
//! histories. A password that is found in any of its spellings fails the whole run.
//!
//! Knows no program's output: a password has no business in any of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aho_corasick::AhoCorasick;
use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};

use crate::announce;
use crate::servers::{AWKWARD_PASSWORD, PASSWORD};

/// Every password that a suite puts into a url, a variable, a file or a server.
const PASSWORDS: [&str; 3] = [PASSWORD, AWKWARD_PASSWORD, "hunter2"];

/// How many places are shown.
const SHOWN: usize = 20;

/// Searches all files of the folder.
///
/// # Errors
///
/// The places of the passwords that were found.
pub(crate) fn search(folder: &Path) -> Result<()> {
    let spellings: BTreeMap<Vec<u8>, String> = PASSWORDS.iter().flat_map(|word| spellings_of(word)).collect();
    let names: Vec<&String> = spellings.values().collect();
    let search = AhoCorasick::new(spellings.keys())?;
    let (mut files, mut bytes, mut places) = (0, 0, Vec::new());
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        (files, bytes) = (files + 1, bytes + text.len());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for found in search.find_iter(&text) {
            let line = text[..found.start()].iter().filter(|byte| **byte == b'\n').count() + 1;
            places.push(format!("{name}:{line}: {}", names[found.pattern().as_usize()]));
        }
    }
    if places.is_empty() {
        announce(&format!(
            "no password in {files} outputs, files and histories of the tests ({bytes} bytes)"
        ));
        return Ok(());
    }
    places.sort();
    let shown = places[..places.len().min(SHOWN)].join("\n  ");
    bail!("a password came to light in {} places:\n  {shown}", places.len())
}

/// Returns the ways to write a password in which it can still be read, each with its name.
fn spellings_of(password: &str) -> Vec<(Vec<u8>, String)> {
    const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let mut spellings = Vec::new();
    let mut add = |spelling: String, name: &str| {
        spellings.push((spelling.into_bytes(), format!("the password `{password}`, {name}")));
    };
    let encoded = utf8_percent_encode(password, UNRESERVED).to_string();
    let hexadecimal: String = password.bytes().map(|byte| format!("{byte:02x}")).collect();
    let quoted = serde_json::Value::from(password).to_string();
    add(format!("{password:?}").trim_matches('"').to_owned(), "escaped");
    add(quoted[1..quoted.len() - 1].to_owned(), "as json");
    add(password.replace('\'', "''"), "as SQL");
    add(password.replace('\\', "\\\\").replace(':', "\\:"), "as in a password file");
    add(percent_encode(password.as_bytes(), NON_ALPHANUMERIC).to_string(), "percent-encoded");
    add(lower_case_of(&encoded), "percent-encoded");
    add(encoded, "percent-encoded");
    add(hexadecimal.to_uppercase(), "in hexadecimal");
    add(hexadecimal, "in hexadecimal");
    for before in 0..3 {
        add(amid_base64(&STANDARD_NO_PAD, before, password), "in base64");
        add(amid_base64(&URL_SAFE_NO_PAD, before, password), "in base64");
    }
    // Last, so that a spelling that changes nothing is called what it is.
    add(password.to_owned(), "as it is");
    spellings
}

/// Writes the digits behind each `%` in lower case.
fn lower_case_of(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (digits, rest) = part.split_at(2);
        format!("{text}%{}{rest}", digits.to_lowercase())
    })
}

/// Returns the characters of a base64 text that depend on the password alone, when it stands behind so many bytes.
fn amid_base64(engine: &impl Engine, before: usize, password: &str) -> String {
    let text = engine.encode([&vec![0; before], password.as_bytes()].concat());
    let first = (before * 8).div_ceil(6);
    let whole = (before + password.len()) * 8 / 6;
    text[first..whole].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search_in(texts: &[&str]) -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        for (number, text) in texts.iter().enumerate() {
            fs::write(folder.path().join(format!("suite.test.{number}.stdout")), text).expect("a file");
        }
        search(folder.path())
    }

    #[test]
    fn texts_without_a_password_pass() {
        assert!(search_in(&["", "postgres://owner:****@127.0.0.1/birds", "hunter", "kestrel-4711"]).is_ok());
    }

    #[test]
    fn a_password_is_found_in_every_spelling() {
        for leak in [
            format!("url: {PASSWORD}\n"),
            format!("url: {AWKWARD_PASSWORD}\n"),
            "plover%3A5%40%2F%3F%23%25%26%3D%27%22%5Ckite%2063".to_owned(),
            "plover%3a5%40%2f%3f%23%25%26%3d%27%22%5ckite%2063".to_owned(),
            r#"{"message":"plover:5@/?#%&='\"\\kite 63"}"#.to_owned(),
            format!("{AWKWARD_PASSWORD:?}"),
            "'plover:5@/?#%&=''\"\\kite 63'".to_owned(),
            r#"*:*:*:*:plover\:5@/?#%&='"\\kite 63"#.to_owned(),
            "68756e74657232".to_owned(),
            STANDARD_NO_PAD.encode("hunter2"),
            STANDARD_NO_PAD.encode("ana:hunter2@db"),
            STANDARD_NO_PAD.encode(":hunter2@db"),
            URL_SAFE_NO_PAD.encode(format!("owner:{AWKWARD_PASSWORD}")),
        ] {
            let error = search_in(&["nothing", &format!("first\n{leak}")]).expect_err(&leak).to_string();
            assert!(error.contains("\n  suite.test.1.stdout:2: the password `"), "{leak}: {error}");
        }
    }
}

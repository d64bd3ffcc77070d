//! Any url: the adapters take it or refuse it, and a password in it is shown neither by them nor by the host.
//!
//! `{}` stands for the password. It counts as one where it stands between user and host, or as the value of a parameter
//! that is called so.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use whimbrel::AdapterFactory;
use whimbrel::config::{Config, Flags};
use whimbrel::factory::redact;
use whimbrel_adapter_api::{Adapter, Secret};
use whimbrel_fuzz::{MARK, PASSWORD, assert_hidden, can_hide};

static ADAPTERS: LazyLock<[Arc<dyn Adapter>; 4]> = LazyLock::new(|| {
    [
        Arc::new(whimbrel_adapter_sqlite::Sqlite),
        Arc::new(whimbrel_adapter_postgres::Postgres),
        Arc::new(whimbrel_adapter_mysql::MySql),
        Arc::new(whimbrel_adapter_clickhouse::ClickHouse),
    ]
});

fuzz_target!(|input: &str| {
    let (before, behind) = input.split_once(MARK).unwrap_or((input, ""));
    let url = format!("{before}{PASSWORD}{behind}");
    let shown = redact(&url);
    let said = said(&url);
    if can_hide(input) && is_in_login(before, behind) {
        assert_hidden(&shown);
    }
    if can_hide(input) && is_password(before, behind) {
        assert_hidden(&shown);
        assert_hidden(&said);
    }
});

/// Returns what the host says when it is given the url for each of the adapters, and the adapters themselves.
fn said(url: &str) -> String {
    let factory = ADAPTERS
        .iter()
        .fold(AdapterFactory::default(), |factory, adapter| factory.with_linked(adapter.clone()));
    let flags = Flags { url: Some(Secret::new(url)), ..Flags::default() };
    let config = Config::from_flags(&flags).expect("a url is no setting");
    let mut said = String::new();
    for name in ["sqlite", "postgres", "mysql", "clickhouse", "elsewhere"] {
        let database = config.database(Some(name)).expect("a plain name");
        said += &match factory.choose(&database) {
            Ok(choice) => format!("{choice:?}{}", choice.needs_password()),
            Err(error) => format!("{error}{error:?}"),
        };
    }
    for adapter in ADAPTERS.iter() {
        if let Err(error) = adapter.check_url(&Secret::new(url)) {
            said += &format!("{error}{error:?}");
        }
    }
    said
}

/// Returns whether what stands between the two may be a piece of a password: behind a user's `:`, and with an `@` to come.
fn is_in_login(before: &str, behind: &str) -> bool {
    let login = before.split_once("://").filter(|(scheme, _)| is_word(scheme));
    let user = login.and_then(|(_, login)| login.split_once(':')).map(|(user, _)| user);
    user.is_some_and(|user| user.is_empty() || is_word(user)) && behind.contains('@')
}

/// Returns whether what stands between the two is a password by anybody's reading. Behind an `@`, engines differ.
fn is_password(before: &str, behind: &str) -> bool {
    let begins_there = before.ends_with(':') && before.matches(':').count() == 2;
    let of_parameter =
        before.strip_suffix("password=").is_some_and(|before| before.ends_with(['?', '&', ' ']));
    (begins_there && is_in_login(before, behind)) || of_parameter
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

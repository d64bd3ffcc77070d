//! Scripts that are run as they stand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use whimbrel_adapter_api::{Adapter, ErrorKind, Opened, Retry, Session};

use crate::scratch::{Scratch, birds};

/// A statement that ends only when it is made to.
pub(crate) const ENDLESS: &str =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;\n";

pub(crate) fn whole(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.with_birds(adapter).connection;
    for script in [
        "INSERT INTO birds VALUES ('wren'); SELECT * FROM birds;\n-- a kite\nINSERT INTO birds VALUES ('kite');\n",
        "INSERT INTO birds VALUES ('l''été;'), ('\u{1f426}')",
        "",
        "-- nothing at all",
        ";;",
    ] {
        assert_eq!(connection.execute_raw(script), Ok(()), "{script}");
    }
    let found = birds(connection.as_mut());
    assert_eq!(found, ["kite", "l'été;", "wren", "\u{1f426}"]);
    found
}

pub(crate) fn failing(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.with_birds(adapter).connection;
    let mut told = Vec::new();
    for (script, kind, native, position) in [
        ("INSERT INTO birds VALUES ('rook');\nSELEC 3; SELECT 4", ErrorKind::Syntax, 1, Some(35)),
        ("SELECT 'été'; SELEC 2", ErrorKind::Syntax, 1, Some(16)),
        ("SELECT 1; SELECT * FROM nests", ErrorKind::TableMissing, 1, None),
        ("SELECT 1; SELECT 2; INSERT INTO birds VALUES ('rook')", ErrorKind::Constraint, 1555, None),
    ] {
        let error = connection.execute_raw(script).expect_err(script);
        assert_eq!((error.kind, error.native, error.position), (kind, Some(native), position), "{script}");
        assert_eq!((error.retry, error.session), (Retry::Useless, Session::Usable), "{script}");
        told.push(scratch.told(&error));
    }
    // What stood before the failing statement stays, and nothing after it was run.
    assert_eq!(birds(connection.as_mut()), ["rook"]);
    told
}

pub(crate) fn cancelled(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let Opened { mut connection, canceller } = scratch.with_birds(adapter);
    assert_eq!(canceller.cancel(), Ok(()), "there is nothing to cancel, which is no error");
    let over = AtomicBool::new(false);
    let outcome = thread::scope(|scope| {
        // Over and over: nothing says when the statement has begun, and before that a request finds nothing to stop.
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                canceller.cancel().expect("a request is always delivered");
                thread::yield_now();
            }
        });
        let outcome = connection.execute_raw(ENDLESS);
        over.store(true, Ordering::Release);
        outcome
    });
    let error = outcome.expect_err("it has no other end");
    assert_eq!((error.kind, error.session), (ErrorKind::Cancelled, Session::Usable));
    assert_eq!(connection.ping(), Ok(()));
    vec![scratch.told(&error)]
}

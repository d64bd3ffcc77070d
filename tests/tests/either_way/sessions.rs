//! A session from its beginning to its end, with what crosses the boundary in both directions: a body that panics, and
//! a request from another thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use whimbrel_adapter_api::{Access, Adapter, BodyFailed, ErrorKind, Opened, Session, TransactionOptions};

use crate::scratch::{Scratch, add, birds};

/// A statement that ends only when it is made to.
pub(crate) const ENDLESS: &str =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;\n";

pub(crate) fn from_open_to_close(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.with_birds(adapter).connection;
    assert_eq!(connection.ping(), Ok(()));
    add(connection.as_mut(), "wren");
    let elsewhere = thread::scope(|scope| {
        let work = scope.spawn(move || {
            add(connection.as_mut(), "kite");
            (birds(connection.as_mut()), connection.close())
        });
        work.join().expect("a session is not bound to its thread")
    });
    assert_eq!(elsewhere, (vec!["kite".to_owned(), "wren".to_owned()], Ok(())));
    let reader = adapter.connect(&scratch.options(adapter, Access::ReadOnly));
    let mut reader = reader.expect("the file is there").connection;
    assert_eq!(birds(reader.as_mut()), ["kite", "wren"]);
    let refused = reader.execute_raw("DELETE FROM birds").expect_err("it is a reader");
    assert_eq!(refused.kind, ErrorKind::ReadOnly);
    vec![scratch.told(&elsewhere), scratch.told(&refused)]
}

/// The panic is the application's own: it must come out where it went in, on the other side of the boundary and back.
pub(crate) fn panicking(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.with_birds(adapter).connection;
    let options = TransactionOptions::default();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        connection.transaction(&options, &mut |inner| {
            add(inner, "wren");
            // Without a message on standard error: nothing has gone wrong here.
            std::panic::resume_unwind(Box::new("the body of the application"))
        })
    }));
    let panic = panic.expect_err("the panic comes through");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the body of the application"));
    assert_eq!(birds(connection.as_mut()), [""; 0]);
    let again = connection.transaction(&options, &mut |inner| {
        add(inner, "kite");
        // A transaction that went on from the one before would be one inside another, and have nothing to commit.
        inner.execute_raw("COMMIT; BEGIN").map_err(|_| BodyFailed)
    });
    assert_eq!(again, Ok(()));
    let kept = birds(connection.as_mut());
    assert_eq!(kept, ["kite"]);
    kept
}

pub(crate) fn cancelled(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let Opened { mut connection, canceller, .. } = scratch.with_birds(adapter);
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

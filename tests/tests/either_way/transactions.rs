//! Transactions around a body that the caller brings.

use std::panic::{AssertUnwindSafe, catch_unwind};

use whimbrel_adapter_api::{Access, Adapter, BodyFailed, ErrorKind, TransactionOptions};

use crate::scratch::{Scratch, add, birds, query};

pub(crate) fn kept_or_taken_back(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.with_birds(adapter).connection;
    let options = TransactionOptions::default();
    let kept = connection.transaction(&options, &mut |inner| {
        add(inner, "wren");
        Ok(())
    });
    assert_eq!(kept, Ok(()));
    let given_up = connection.transaction(&options, &mut |inner| {
        add(inner, "kite");
        assert_eq!(birds(inner), ["kite", "wren"]);
        Err(BodyFailed)
    });
    let given_up = given_up.expect_err("the body gave up");
    assert_eq!(given_up.kind, ErrorKind::BodyFailed);
    assert_eq!(birds(connection.as_mut()), ["wren"]);
    vec![scratch.told(&given_up)]
}

pub(crate) fn nested(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.with_birds(adapter).connection;
    let options = TransactionOptions::default();
    let outer = connection.transaction(&options, &mut |outer| {
        add(outer, "wren");
        let inner = outer.transaction(&options, &mut |inner| {
            add(inner, "kite");
            Err(BodyFailed)
        });
        assert_eq!(inner.expect_err("the body gave up").kind, ErrorKind::BodyFailed);
        let inner = outer.transaction(&options, &mut |inner| {
            add(inner, "rook");
            Ok(())
        });
        inner.map_err(|_| BodyFailed)
    });
    assert_eq!(outer, Ok(()));
    let kept = birds(connection.as_mut());
    assert_eq!(kept, ["rook", "wren"]);
    kept
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

pub(crate) fn reading(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.with_birds(adapter).connection;
    let mut options = TransactionOptions::default();
    options.access = Access::ReadOnly;
    let mut refused = None;
    let outcome = connection.transaction(&options, &mut |inner| {
        refused = query(inner, "INSERT INTO birds VALUES ('wren')", &[]).err();
        Err(BodyFailed)
    });
    assert_eq!(outcome.expect_err("the body gave up").kind, ErrorKind::BodyFailed);
    let refused = refused.expect("it only reads");
    assert_eq!(refused.kind, ErrorKind::ReadOnly);
    add(connection.as_mut(), "kite");
    assert_eq!(birds(connection.as_mut()), ["kite"]);
    vec![scratch.told(&refused)]
}

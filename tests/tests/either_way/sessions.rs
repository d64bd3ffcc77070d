//! Who an adapter is, and a session from its beginning to its end.

use std::thread;

use whimbrel_adapter_api::{Access, Adapter, Capability, ErrorKind, Fence, Secret, TableName};

use crate::scratch::{Scratch, add, birds};

pub(crate) fn identity(adapter: &dyn Adapter) -> Vec<String> {
    let info = adapter.info();
    assert!(info.schemes.contains(&info.name), "{info:?}");
    assert!(info.capabilities.contains(&Capability::Cancel), "{info:?}");
    assert_eq!(info.fence, Fence::UniqueKey);
    assert_eq!(adapter.check_url(&Secret::new(format!("{}:birds.db", info.name))), Ok(()));
    let refused = adapter.check_url(&Secret::new("gopher://host/birds")).expect_err("no such scheme");
    assert_eq!(refused.kind, ErrorKind::InvalidUrl);
    vec![format!("{info:?}"), format!("{refused:?}")]
}

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

pub(crate) fn nothing_to_read(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let found = match adapter.connect(&scratch.options(adapter, Access::ReadOnly)) {
        // An adapter may take a database that is not there for an empty one.
        Ok(mut opened) => {
            let empty = opened.connection.table_exists(&TableName::new("birds"));
            assert_eq!(empty, Ok(false));
            scratch.told(&empty)
        }
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::DatabaseMissing);
            scratch.told(&error)
        }
    };
    assert!(!scratch.file().exists());
    vec![found]
}

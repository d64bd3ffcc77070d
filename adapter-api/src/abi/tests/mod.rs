//! What an author wrote, through both halves of the ABI in one process.

mod calls;
mod header;
mod layout;
mod lies;
mod panics;
mod toy;

use std::sync::Arc;

use self::toy::{Part, Toy};
use crate::{Adapter, ConnectOptions, Opened, Secret};

/// Returns `toy` as a host sees it that loaded it.
fn loaded(toy: &Toy) -> Arc<dyn Adapter> {
    let exported = super::plugin::export_adapter(Box::new(Part(toy.clone())));
    super::host::import_adapter(exported).expect("the toy tells its name")
}

fn open(toy: &Toy) -> Opened {
    let options = ConnectOptions::new(Secret::new("toy:box"));
    let opened = loaded(toy).connect(&options).expect("the toy connects");
    toy.log();
    opened
}

//! `host LIBRARY URL [OTHER…]`: loads the others and then an adapter, and puts the suite to it.
//!
//! A program that is built from whichever version of the contract lies beside it, so it uses nothing newer than 1.0.

use std::env;
use std::ffi::c_void;
use std::io::{stdin, stdout};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use libloading::os::unix::Library;
use whimbrel_adapter_api::loading::adapter_from_symbol;
use whimbrel_adapter_api::{Adapter, ConnectOptions, Secret};
use whimbrel_conformance::{Suite, Victim, act};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [library, url, others @ ..] = arguments.as_slice() else {
        eprintln!("usage: host LIBRARY URL [OTHER…]");
        return ExitCode::from(2);
    };
    // Kept: what one library has brought into the process must not matter to the next.
    let _others: Vec<Arc<dyn Adapter>> = others.iter().map(|other| load(Path::new(other))).collect();
    eprintln!("the others are loaded");
    let adapter = load(Path::new(library));
    if url == "victim" {
        act(adapter.as_ref(), &mut stdin().lock(), &mut stdout());
        return ExitCode::SUCCESS;
    }
    let library = library.clone();
    let victim = Victim::new(move || {
        let mut command = Command::new(env::current_exe().expect("a program has a file"));
        command.args([library.as_str(), "victim"]);
        command
    });
    let suite = Suite::new(adapter, ConnectOptions::new(Secret::new(url.as_str())));
    let report = suite.with_victim(victim).run(&mut |checked| println!("{checked}"));
    println!("{}", report.summary());
    if report.is_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Loads an adapter as the real program does. The name of its symbol follows from the name of the file.
fn load(path: &Path) -> Arc<dyn Adapter> {
    let crate_name = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("lib"));
    let symbol = format!("whimbrel_adapter_v1_{}", crate_name.expect("the file is named as cargo names it"));
    // SAFETY: the library is an adapter that the caller trusts; what runs as it is loaded is the test's own.
    let library = unsafe { Library::new(path) }.expect("it can be loaded");
    // SAFETY: the address is only looked up here, and read by `adapter_from_symbol`, as the pointer to a header.
    let symbol = unsafe { library.get::<*const c_void>(symbol) }.expect("it exports its header");
    let address = symbol.as_raw_ptr();
    std::mem::forget(library);
    // SAFETY: `export_adapter!` wrote the static of this name, and the library is never unloaded.
    unsafe { adapter_from_symbol(address.cast_const()) }.expect("it is accepted")
}

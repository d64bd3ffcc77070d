//! The library of the probe, `tests/probe`: an adapter built as a stranger builds it, outside the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::project::built_file;

/// Returns the probe's library, which is built when it is first asked for.
///
/// # Panics
///
/// When it cannot be built.
pub fn probe_library() -> &'static Path {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(build);
    &LIBRARY
}

/// Builds in a folder of cargo's own target directory: the probe's dependencies are locked apart from ours.
fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("probe");
    let target = built_file("whimbrel").ancestors().nth(2).expect("cargo's target directory").join("probe");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--manifest-path"])
        .arg(source.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "the probe cannot be built");
    target.join("debug/libwhimbrel_adapter_probe.so")
}

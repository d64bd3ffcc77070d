//! Programs and adapters that are built apart from this one, from a copy of the contract: the frozen one of version 1.0.0, or
//! the next minor version, which is today's with something more of every kind that may be added.
//!
//! The frozen copy is what `cargo package` made of the contract, the suite and the SQLite adapter. It never changes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::project::built_file;

/// A program and an adapter, both built from one version of the contract.
#[derive(Debug)]
pub struct Contract {
    /// `frozen` or `next`.
    pub name: &'static str,
    /// A program that puts the suite to an adapter: `host LIBRARY URL`.
    pub host: PathBuf,
    /// The library of the SQLite adapter.
    pub adapter: PathBuf,
}

/// The packages, and the folders that they are unpacked to.
const PACKAGES: [(&str, &str); 3] = [
    ("whimbrel-adapter-api", "api"),
    ("whimbrel-conformance", "conformance"),
    ("whimbrel-adapter-sqlite", "sqlite"),
];

const WORKSPACE: &str = r#"[workspace]
resolver = "3"
members = ["api", "conformance", "sqlite", "host"]

[patch.crates-io]
whimbrel-adapter-api = { path = "api" }
whimbrel-conformance = { path = "conformance" }

[profile.dev]
debug = "line-tables-only"
"#;

impl Contract {
    /// Returns version 1.0.0.
    ///
    /// # Panics
    ///
    /// When it cannot be built.
    pub fn frozen() -> Self {
        let sources = TempDir::new().expect("a temporary directory can be made");
        for (package, folder) in PACKAGES {
            unpack(
                &crate_file(&repository().join("tests/abi/frozen"), package),
                &sources.path().join(folder),
            );
        }
        build("frozen", sources.path())
    }

    /// Returns the next minor version: today's contract, and what a minor version may add.
    ///
    /// # Panics
    ///
    /// When it cannot be built, or a place where something belongs is not found.
    pub fn next() -> Self {
        let sources = TempDir::new().expect("a temporary directory can be made");
        let packaged = target().join("package");
        // What an earlier run has made has another version, perhaps.
        let _ = fs::remove_dir_all(&packaged);
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["package", "--quiet", "--no-verify", "--allow-dirty", "--offline", "--target-dir"]);
        cargo.arg(target()).current_dir(repository());
        cargo.args(PACKAGES.iter().flat_map(|(package, _)| ["--package", package]));
        succeed(&mut cargo);
        for (package, folder) in PACKAGES {
            unpack(&crate_file(&packaged, package), &sources.path().join(folder));
        }
        for (file, anchor, novelty) in NOVELTIES {
            let path = sources.path().join("api").join(file);
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(text.matches(anchor).count(), 1, "`{anchor}` is not once in {file}");
            fs::write(&path, text.replace(anchor, &format!("{anchor}{novelty}"))).expect("it can be written");
        }
        build("next", sources.path())
    }
}

/// Builds the program from today's contract for release, and returns it.
///
/// # Panics
///
/// When it cannot be built.
pub fn program_for_release() -> PathBuf {
    let (folder, target) = (target().join("today"), target().join("release"));
    fs::create_dir_all(folder.join("src")).expect("it can be made");
    let paths = PACKAGES[..2].iter().zip(["adapter-api", "adapter-api/conformance"]);
    let patches = paths.map(|((package, _), path)| {
        format!("{package} = {{ path = \"{}\" }}\n", repository().join(path).display())
    });
    let manifest =
        fs::read_to_string(repository().join("tests/abi/host/Cargo.toml.in")).expect("it is there");
    let manifest = format!("{manifest}\n[workspace]\n\n[patch.crates-io]\n{}", patches.collect::<String>());
    fs::write(folder.join("Cargo.toml"), manifest).expect("it can be written");
    fs::copy(repository().join("tests/abi/host/main.rs"), folder.join("src/main.rs")).expect("it is there");
    fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).expect("it is there");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--offline", "--release", "--target-dir"]).arg(&target);
    succeed(cargo.current_dir(&folder));
    target.join("release/host")
}

/// What a minor version may add, and what says so when it is used: file, text, and what stands behind that text.
const NOVELTIES: &[(&str, &str, &str)] = &[
    // Of 1.2.0 it makes 1.92.0.
    ("Cargo.toml", "name = \"whimbrel-adapter-api\"\nversion = \"1.", "9"),
    (
        "src/abi/traits.rs",
        "    pub adapter: extern \"C\" fn(host: usize) -> Answer<AdapterBox>,\n",
        "    pub novelty: extern \"C\" fn() -> u64,\n",
    ),
    (
        "src/abi/traits.rs",
        "    fn quirks(&self) -> Answer<AQuirks>;\n",
        "    fn novelty(&self) -> u64 {\n        0\n    }\n",
    ),
    (
        "src/abi/traits.rs",
        "    fn finished(&mut self, batch: u32, outcome: RResult<ADone, AFailure>);\n",
        "    fn novelty(&mut self) -> u64 {\n        0\n    }\n",
    ),
    ("src/abi/header.rs", "__call_root_module_loader(|| Root { adapter: make::<P>", ", novelty"),
    (
        "src/abi/header.rs",
        "    let root = check(header.upgrade().map_err(refusal)?)?;\n",
        "    eprintln!(\"the root says {:?}\", root.novelty().map(|novelty| novelty()));\n",
    ),
    (
        "src/abi/header.rs",
        "extern \"C\" fn load<P: Plugin + 'static>() -> RootModuleResult {\n",
        "    extern \"C\" fn novelty() -> u64 {\n        7\n    }\n",
    ),
    // Keys and numbers that the other side does not know, and passes over.
    (
        "src/abi/convert.rs",
        "        .chain(lock_limit.as_deref().map(|limit| (options_key::LOCK_LIMIT, limit)))\n",
        "        .chain([(777, \"from a later program\")])\n",
    ),
    (
        "src/abi/convert.rs",
        "        capabilities: info.capabilities.iter().map(|capability| Code(capability.code()))",
        ".chain([Code(777)])",
    ),
    (
        "src/abi/convert.rs",
        "pub(super) fn export_error(error: Error) -> AError {\n    let mut ext = Ext::new();\n",
        "    ext.push(Tuple2(Code(777), b\"from a later adapter\".as_slice().into()));\n",
    ),
    (
        "src/abi/host.rs",
        "pub(super) fn import_adapter(adapter: AdapterBox) -> Result<Arc<dyn Adapter>, Error> {\n",
        "    eprintln!(\"the adapter says {}\", adapter.novelty());\n",
    ),
    (
        "src/abi/host.rs",
        "impl AEvents for ExportedEvents<'_> {\n",
        "    fn novelty(&mut self) -> u64 {\n        3\n    }\n",
    ),
    (
        "src/abi/plugin.rs",
        "impl AAdapter for ExportedAdapter {\n",
        "    fn novelty(&self) -> u64 {\n        5\n    }\n",
    ),
    (
        "src/abi/plugin.rs",
        "    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {\n",
        "        eprintln!(\"the events say {}\", self.0.novelty());\n",
    ),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns a folder in cargo's target directory for what is built apart.
fn target() -> PathBuf {
    built_file("whimbrel").ancestors().nth(2).expect("cargo's target directory").join("contract")
}

/// Returns the one file of a package, whichever its version is.
fn crate_file(folder: &Path, package: &str) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = entries.map(|entry| entry.expect("it can be listed").path());
    let is_it = |file: &PathBuf| {
        let version =
            file.file_name().and_then(|name| name.to_str()?.strip_prefix(package)?.strip_suffix(".crate"));
        version.is_some_and(|version| version.starts_with('-'))
    };
    let files: Vec<PathBuf> = files.filter(is_it).collect();
    let [file] = files.as_slice() else { panic!("not one file of {package}: {files:?}") };
    file.clone()
}

fn unpack(file: &Path, folder: &Path) {
    fs::create_dir_all(folder).expect("it can be made");
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--gzip", "--strip-components=1", "--directory"])
        .arg(folder)
        .arg("--file")
        .arg(file);
    succeed(&mut tar);
}

/// Builds the packages in `sources`, and the program that uses them.
fn build(name: &'static str, sources: &Path) -> Contract {
    let workspace = target().join(name);
    let host = sources.join("host");
    fs::create_dir_all(host.join("src")).expect("it can be made");
    fs::write(sources.join("Cargo.toml"), WORKSPACE).expect("it can be written");
    let program = repository().join("tests/abi/host");
    for (from, to) in [
        (repository().join("Cargo.lock"), sources.join("Cargo.lock")),
        (program.join("Cargo.toml.in"), host.join("Cargo.toml")),
        (program.join("main.rs"), host.join("src/main.rs")),
    ] {
        fs::copy(&from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
    keep(sources, &workspace);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--offline", "--target-dir"]).arg(target()).current_dir(&workspace);
    cargo.args(["--package", "host", "--package", "whimbrel-adapter-sqlite"]);
    succeed(&mut cargo);
    // The other version puts its own in the same place.
    let results = target().join("built").join(name);
    fs::create_dir_all(&results).expect("it can be made");
    let built = |file: &str| {
        let (from, to) = (target().join("debug").join(file), results.join(file));
        fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        to
    };
    Contract { name, host: built("host"), adapter: built("libwhimbrel_adapter_sqlite.so") }
}

/// Makes a folder hold what another one holds. A file that is the same already is left alone, so that cargo builds no more
/// than it must: it goes by the time of the last change, which is one and the same in every package.
fn keep(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it can be made");
    let names = |folder: &Path| -> BTreeSet<OsString> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries.map(|entry| entry.expect("it can be listed").file_name()).collect()
    };
    for gone in names(to).difference(&names(from)) {
        let path = to.join(gone);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            keep(&from, &to);
            continue;
        }
        let text = fs::read(&from).expect("it can be read");
        if fs::read(&to).ok().as_ref() != Some(&text) {
            fs::write(&to, text).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
        }
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

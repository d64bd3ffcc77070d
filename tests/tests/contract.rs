//! Adapters and programs that were not built together: docs/abi.md says what may differ.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use insta::assert_snapshot;
use whimbrel_tests::{Contract, Database, Project, Sqlite, built_file, program_for_release};

/// Returns the suite's table of an adapter, put to it by a program of another version perhaps, and what only the next version
/// says. `beside` is loaded before.
fn tested(host: &Contract, adapter: &Contract, beside: &Contract) -> (String, Vec<String>) {
    let database = Sqlite::fresh();
    let mut command = Command::new(&host.host);
    command.arg(&adapter.adapter).arg(database.url()).arg(&beside.adapter);
    let output = command.output().expect("it was built");
    let said = String::from_utf8_lossy(&output.stderr);
    let (_, said) = said.split_once("the others are loaded\n").unwrap_or_default();
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{} {}\n{table}{said}", host.name, adapter.name);
    let mut heard: Vec<String> =
        said.lines().filter(|line| line.contains(" say")).map(str::to_owned).collect();
    heard.sort_unstable();
    heard.dedup();
    (table, heard)
}

/// Returns the last line of what the program of this workspace says of the library.
fn tested_by_the_program(library: &Path, url: &str) -> String {
    let library = library.to_str().expect("a path of cargo's");
    let outcome = Project::new().run(["adapters", "test", library, "--url", url]).exits(0);
    outcome.stdout.lines().last().unwrap_or_default().to_owned()
}

/// What one side has that the other one does not know is not used; all else is as it was.
#[test]
fn versions_that_differ_work_together() {
    let contracts = [Contract::frozen(), Contract::next()];
    let mut told = String::new();
    for host in &contracts {
        let [frozen, next] =
            [[&contracts[0], &contracts[1]], [&contracts[1], &contracts[0]]].map(|[adapter, beside]| {
                let (table, heard) = tested(host, adapter, beside);
                let summary = table.lines().last().unwrap_or_default();
                told += &format!("program {}, adapter {}: {summary}; {heard:?}\n", host.name, adapter.name);
                table
            });
        assert_eq!(frozen, next, "the table of the {} program", host.name);
    }
    for adapter in &contracts {
        told += &format!(
            "whimbrel, adapter {}: {}\n",
            adapter.name,
            tested_by_the_program(&adapter.adapter, "sqlite:check.db")
        );
    }
    assert_snapshot!(told, @r#"
    program frozen, adapter frozen: 70 passed, 4 refused; []
    program frozen, adapter next: 70 passed, 4 refused; ["the events say 0"]
    program next, adapter frozen: 70 passed, 4 refused; ["the adapter says 0", "the root says None"]
    program next, adapter next: 70 passed, 4 refused; ["the adapter says 5", "the events say 3", "the root says Some(7)"]
    whimbrel, adapter frozen: sqlite: 70 passed, 4 refused
    whimbrel, adapter next: sqlite: 70 passed, 4 refused
    "#);
}

/// Builds the adapter that `adapters new` makes, in a folder of cargo's target directory, and returns its library.
fn built(project: &Project, folder: &str, arguments: &[&str], variables: &[(&str, &str)]) -> PathBuf {
    let target = built_file("whimbrel").ancestors().nth(2).expect("cargo's target directory").join(folder);
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--offline", "--target-dir"]).arg(&target).args(arguments);
    let output = command.envs(variables.iter().copied()).current_dir(project.path("demo")).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
    let profile = if arguments.contains(&"--release") { "release" } else { "debug" };
    target.join(profile).join("libwhimbrel_adapter_demo.so")
}

/// Nothing that crosses the boundary is laid out by the compiler: neither its options nor its version decide who works with
/// whom. Without another compiler `cargo xtask test` says that this part was not run.
#[test]
fn it_does_not_matter_how_an_adapter_was_built() {
    let project = Project::new();
    let _ = project.run(["adapters", "new", "demo"]).exits(0);
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    fs::copy(lock, project.path("demo/Cargo.lock")).expect("the lock file is there");
    let randomized = [("RUSTC_BOOTSTRAP", "1"), ("RUSTFLAGS", "-Zrandomize-layout")];
    let mut libraries = vec![
        ("for debugging", built(&project, "contract", &[], &[])),
        ("for release", built(&project, "contract/release", &["--release"], &[])),
        (
            "with another layout of what Rust lays out",
            built(&project, "contract/randomized", &[], &randomized),
        ),
    ];
    if let Ok(compiler) = env::var("WHIMBREL_OTHER_RUSTC") {
        libraries.push((
            "by another compiler",
            built(&project, "contract/compiler", &[], &[("RUSTC", &compiler)]),
        ));
    }
    let released = program_for_release();
    for (how, library) in libraries {
        assert_eq!(tested_by_the_program(&library, "demo:check"), "demo: 42 passed, 32 refused", "{how}");
        let output = Command::new(&released).arg(&library).arg("demo:check").output().expect("it was built");
        let table = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            table.lines().last(),
            Some("42 passed, 32 refused"),
            "{how}, in a program for release: {table}"
        );
    }
}

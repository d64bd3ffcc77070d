//! The shape of the code, held as data: who may know whom, and where what is dangerous or global is allowed.
//!
//! Reads the sources as text. Comments and tests do not count.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Each module of the host and what it may import; `adapter_api` stands for the contract. `error` is for everybody.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &["report", "adapter_api"]),
    ("report", &["plan", "source", "adapter_api"]),
    ("source", &[]),
    ("splitter", &["adapter_api"]),
    ("history", &["splitter", "adapter_api"]),
    ("plan", &["source", "history", "adapter_api"]),
    ("script", &["source", "splitter", "adapter_api"]),
    ("runner", &["plan", "history", "script", "source", "adapter_api"]),
    ("config", &["adapter_api"]),
    ("plugin", &["adapter_api"]),
    ("isolation", &["adapter_api"]),
    ("template", &["adapter_api"]),
    ("factory", &["config", "plugin", "isolation", "adapter_api"]),
    ("migrator", &["source", "plan", "runner", "history", "script", "report", "adapter_api"]),
    (
        "output",
        &[
            "report",
            "plan",
            "history",
            "source",
            "migrator",
            "plugin",
            "factory",
            "runner",
            "template",
            "adapter_api",
        ],
    ),
    (
        "cli",
        &[
            "config",
            "factory",
            "isolation",
            "migrator",
            "output",
            "plan",
            "plugin",
            "report",
            "runner",
            "source",
            "template",
            "adapter_api",
        ],
    ),
];

/// What may stand in some files only: what is sought, where it is sought, where it may stand, and why.
const CONFINED: &[(&str, &[&str], &[&str], &str)] = &[
    (
        r"(?i)\b(postgres|postgresql|mysql|mariadb|sqlite|supabase|clickhouse)\b",
        &["host/src"],
        &["host/src/cli/args.rs"],
        "the host knows no database; only the examples of `--help` name some",
    ),
    (
        r"\babi_stable\b",
        &["host/src", "adapters", "adapter-api/src", "adapter-api/conformance/src"],
        &["adapter-api/src/abi/"],
        "the ABI library is an affair of `adapter-api/src/abi`",
    ),
    (
        r"\blibloading\b",
        &["host/src", "adapters", "adapter-api/src", "adapter-api/conformance/src"],
        &["host/src/plugin/load.rs"],
        "libraries are opened in one place",
    ),
    (
        r"\bunsafe\b",
        &["host/src", "adapters", "adapter-api/src", "adapter-api/conformance/src"],
        &["host/src/plugin/load.rs", "adapter-api/src/abi/", "adapters/mysql/src/tls.rs"],
        "unsafe code stands where it is unavoidable",
    ),
    (
        r"\be?print(ln)?!|\bio::std(out|err)\(",
        &["host/src", "adapters", "adapter-api/src", "adapter-api/conformance/src"],
        &["host/src/output/"],
        "nothing prints but `output`",
    ),
    (
        r"\benv::(vars?|var_os|vars_os|temp_dir|home_dir|current_dir)\b",
        &["host/src", "adapters", "adapter-api/src", "adapter-api/conformance/src"],
        &["host/src/config/environment.rs"],
        "nothing reads the environment but `config`",
    ),
    (
        r"\benv::current_exe\b",
        &["host/src", "adapters", "adapter-api/src", "adapter-api/conformance/src"],
        &["host/src/plugin/mod.rs", "host/src/plugin/trust.rs", "host/src/cli/adapters.rs"],
        "nobody but the search for adapters, who trusts them and who starts this program again asks where it is",
    ),
    (
        r"\benv::(args|args_os)\b",
        &["host/src", "adapters", "adapter-api/src", "adapter-api/conformance/src"],
        &["host/src/cli/mod.rs"],
        "nobody but `cli` reads the command line",
    ),
    (
        r"\b(Instant|SystemTime|Zoned|Timestamp)::now\b",
        &["host/src", "adapters", "adapter-api/src"],
        &["host/src/runner/", "host/src/cli/new.rs"],
        "nothing reads the clock but `runner`, and `new` for a version that is a date",
    ),
];

#[test]
fn every_module_of_the_host_imports_only_what_it_may() {
    let uses = Regex::new(r"\bcrate::(?:(\w+)|\{([^}]*)\})").expect("the pattern is valid");
    let mut wrong = Vec::new();
    for source in sources("host/src") {
        let module = module_of(&source.path);
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            assert!(["lib", "main"].contains(&module.as_str()), "`{module}` is not in the table of layers");
            continue;
        };
        let direct = uses.captures_iter(&source.code).flat_map(|found| {
            let names = found.get(1).or(found.get(2)).map_or("", |names| names.as_str());
            let names =
                names.split(',').map(|name| name.trim().split("::").next().unwrap_or_default().to_owned());
            names.collect::<Vec<_>>()
        });
        let contract = source.code.contains("whimbrel_adapter_api").then(|| "adapter_api".to_owned());
        for name in direct.chain(contract) {
            let is_module = MAY_IMPORT.iter().any(|(other, _)| *other == name) || name == "adapter_api";
            if is_module && name != module && name != "error" && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}: `{module}` must not know `{name}`", source.path));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Only `error` and `report` are known to each other.
#[test]
fn the_layers_have_no_cycle() {
    let mut left: Vec<(&str, Vec<&str>)> = MAY_IMPORT
        .iter()
        .map(|(name, imports)| {
            let modules =
                imports.iter().copied().filter(|import| *import != "adapter_api" && *name != "error");
            (*name, modules.collect())
        })
        .collect();
    while let Some(at) = left.iter().position(|(_, imports)| imports.is_empty()) {
        let (done, _) = left.remove(at);
        left.iter_mut().for_each(|(_, imports)| imports.retain(|import| *import != done));
    }
    assert!(left.is_empty(), "these lie on a cycle: {left:?}");
}

#[test]
fn what_is_dangerous_or_global_stays_where_it_belongs() {
    let mut wrong = Vec::new();
    for (pattern, folders, allowed, why) in CONFINED {
        let pattern = Regex::new(pattern).expect("the pattern is valid");
        for source in folders.iter().flat_map(|folder| sources(folder)) {
            let may = allowed.iter().any(|place| source.path.starts_with(place));
            if let Some(found) = pattern.find(&source.code).filter(|_| !may) {
                wrong.push(format!("{}: `{}`, but {why}", source.path, found.as_str()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A rule that allows a file that is gone would allow the next one of that name.
#[test]
fn every_place_that_a_rule_names_exists() {
    for (_, folders, allowed, _) in CONFINED {
        for place in folders.iter().chain(*allowed) {
            assert!(workspace().join(place).exists(), "{place} is not there");
        }
    }
    for (module, _) in MAY_IMPORT {
        let [file, folder] = [format!("host/src/{module}.rs"), format!("host/src/{module}/mod.rs")];
        assert!([file, folder].iter().any(|path| workspace().join(path).exists()), "{module} is not there");
    }
}

/// A file without its comments and tests.
struct Source {
    path: String,
    code: String,
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("`tests` lies in the workspace")
}

fn module_of(path: &str) -> String {
    let below = path.trim_start_matches("host/src/");
    below.split(['/', '.']).next().unwrap_or_default().to_owned()
}

fn sources(folder: &str) -> Vec<Source> {
    let mut files = Vec::new();
    collect(&workspace().join(folder), &mut files);
    files.sort();
    assert!(!files.is_empty(), "{folder} holds no sources");
    files.into_iter().map(|file| source(&file)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().unwrap_or_default().to_owned();
        // A build script runs before there is a program.
        if name == "tests" || name == "build" {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn source(file: &Path) -> Source {
    let text = fs::read_to_string(file).expect("a file of the workspace");
    // By our habit tests stand last.
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    Source {
        path: file.strip_prefix(workspace()).expect("it lies in the workspace").display().to_string(),
        code: code.collect::<Vec<_>>().join("\n"),
    }
}

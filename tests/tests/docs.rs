//! The documentation says what is so: tables are those of the code, links lead somewhere, the session in the README
//! prints what stands there.
//!
//! Tables stand between `<!-- begin: NAME -->` and `<!-- end: NAME -->`. With `WHIMBREL_UPDATE_DOCS=1` in the
//! environment a stale one is written anew; without it, it fails. So is a session.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use whimbrel::config::{Config, Environment, Flags, keys_as_markdown, variables_as_markdown};
use whimbrel::error::Name;
use whimbrel_adapter_api::{Capability, Fence, Quirks};
use whimbrel_conformance::Suite;
use whimbrel_tests::Project;
use whimbrel_tests::page::{Page, UPDATE, workspace};

#[test]
fn keys_and_variables_are_those_of_the_code() {
    assert_fresh("docs/configuration.md", "keys", &keys_as_markdown());
    assert_fresh("docs/configuration.md", "variables", &variables_as_markdown());
}

#[test]
fn error_names_are_those_of_the_code() {
    let row = |name: &Name| format!("| `{}` | {} | {} |\n", name.word(), name.exit_code(), name.describe());
    let rows: String = Name::ALL.iter().map(row).collect();
    let table = format!("| name | exit | situation |\n|---|---|---|\n{rows}");
    assert_fresh("docs/errors.md", "names", &table);
}

#[test]
fn links_lead_to_files_and_headings_that_are_there() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("the pattern is valid");
    let mut broken = Vec::new();
    for page in pages() {
        let text = read(&page);
        for target in link.captures_iter(&without_code(&text)).map(|link| link[1].to_owned()) {
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let file = match file {
                "" => page.clone(),
                file => page.parent().expect("a page has a folder").join(file),
            };
            let leads_somewhere = file.exists() && (heading.is_empty() || headings(&file).contains(heading));
            if !leads_somewhere {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn session_in_the_readme_prints_what_it_says() {
    let project = copy_of_the_demo();
    Page::named("README.md").assert_sessions(|command| {
        let command = command.strip_prefix("whimbrel ").expect("the session runs the program alone");
        let outcome = project.run(command.split_whitespace()).exits(0);
        outcome.stdout + &outcome.stderr
    });
}

#[test]
fn pages_say_how_many_checks_there_are() {
    let number = Regex::new(r"\b(\d+) checks\b").expect("the pattern is valid");
    let there_are = Suite::count().to_string();
    let mut said = 0;
    for page in pages() {
        for number in number.captures_iter(&without_code(&read(&page))) {
            assert_eq!(number[1], there_are, "{}: {}", page.display(), &number[0]);
            said += 1;
        }
    }
    assert!(said > 0, "a page says it");
}

#[test]
fn example_of_a_message_is_one_that_is_printed() {
    let page = Page::named("docs/errors.md");
    let example = page.blocks("text").next().expect("the page has an example");
    let project = Project::new()
        .file("migrations/sqlite/001_names.sql", "CREATE TABLE names (id INTEGER);\n")
        .file("migrations/sqlite/002_ages.sql", "-- Created: 2025-01-08\nCREATE TABEL ages (id INTEGER);\n");
    let outcome = project.run(["up", "sqlite", "--url", "sqlite:app.db"]).exits(1);
    assert_eq!(outcome.stderr, example);
}

#[test]
fn readme_lists_the_commands_that_there_are() {
    let help = Project::new().run(["--help"]).exits(0).stdout;
    let commands = help
        .split_once("Commands:\n")
        .and_then(|(_, rest)| rest.split_once("\n\n"))
        .map(|(commands, _)| commands)
        .expect("the help lists the commands");
    // A line that goes on with the last command's description begins further right.
    let name = Regex::new(r"(?m)^  (\w+)").expect("the pattern is valid");
    let there_are: BTreeSet<String> = captures(&name, commands);
    let readme = read(&workspace().join("README.md"));
    let listed = Regex::new(r"(?m)^\| `whimbrel (\w+)").expect("the pattern is valid");
    assert_eq!(captures(&listed, &readme), there_are);
}

#[test]
fn examples_of_plugins_toml_are_understood() {
    let mut count = 0;
    for page in ["README.md", "docs/configuration.md"] {
        for example in Page::named(page).blocks("toml") {
            let project = Project::new().plugins_toml(example);
            let environment = Environment::new(project.path(""), []);
            let config = Config::load(&Flags::default(), &environment);
            let config = config.unwrap_or_else(|error| panic!("{page}: {error}\n{example}"));
            for database in config.databases() {
                let resolved = config.database(Some(&database));
                resolved.unwrap_or_else(|error| panic!("{page}: {error}\n{example}"));
            }
            count += 1;
        }
    }
    assert!(count > 1, "there are examples in both pages");
}

#[test]
fn guide_for_authors_names_all_that_they_can_declare() {
    let guide = Page::named("docs/writing-an-adapter.md");
    // The fields, as `Debug` shows them.
    let field = Regex::new(r"(?m)^    (\w+):").expect("the pattern is valid");
    let mut names = captures(&field, &format!("{:#?}", Quirks::default()));
    names.extend(Capability::ALL.iter().map(|capability| format!("{capability:?}")));
    names.extend(Fence::ALL.iter().map(|fence| format!("{fence:?}")));
    names.retain(|name| !guide.text().contains(&format!("`{name}`")));
    assert!(names.is_empty(), "the guide does not say what these are for: {names:?}");
}

/// Compares a table with the one on a page, or writes it there.
fn assert_fresh(page: &str, name: &str, table: &str) {
    let path = workspace().join(page);
    let text = read(&path);
    let (begin, end) = (format!("<!-- begin: {name} -->\n"), format!("<!-- end: {name} -->"));
    let (before, rest) =
        text.split_once(&begin).unwrap_or_else(|| panic!("{page} has no `{}`", begin.trim()));
    let (old, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{page} has no `{end}`"));
    if old == table {
        return;
    }
    if std::env::var_os(UPDATE).is_some() {
        let written = fs::write(&path, format!("{before}{begin}{table}{end}{after}"));
        return written.unwrap_or_else(|error| panic!("cannot write {page}: {error}"));
    }
    panic!("the table `{name}` in {page} is stale: run this test with {UPDATE}=1. It should be:\n{table}");
}

/// Returns README, CHANGELOG and everything in `docs`.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(workspace().join("docs")).expect("there is a folder `docs`");
    let docs = docs.map(|entry| entry.expect("the folder can be listed").path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    [workspace().join("README.md"), workspace().join("CHANGELOG.md")].into_iter().chain(docs).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Returns a page without its fenced blocks and its code, in which brackets mean other things.
fn without_code(page: &str) -> String {
    let code = Regex::new(r"(?ms)^```.*?^```$|`[^`\n]+`").expect("the pattern is valid");
    code.replace_all(page, "").into_owned()
}

/// Returns the anchors of a page's headings, as forges make them.
fn headings(page: &Path) -> BTreeSet<String> {
    let heading = Regex::new(r"(?m)^#+ (.*)$").expect("the pattern is valid");
    let anchor = |heading: String| -> String {
        let kept = heading
            .to_lowercase()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
            .collect::<String>();
        kept.replace(' ', "-")
    };
    captures(&heading, &read(page)).into_iter().map(anchor).collect()
}

fn captures(pattern: &Regex, text: &str) -> BTreeSet<String> {
    pattern.captures_iter(text).map(|captures| captures[1].to_owned()).collect()
}

/// Returns a project as a fresh clone has it: `plugins.toml` and the demo migrations.
fn copy_of_the_demo() -> Project {
    let project = Project::new().plugins_toml(&read(&workspace().join("plugins.toml")));
    copy(&workspace().join("migrations"), &project.path("migrations"));
    project
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|error| panic!("cannot create {}: {error}", to.display()));
    for entry in fs::read_dir(from).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target)
                .unwrap_or_else(|error| panic!("cannot copy {}: {error}", path.display()));
        }
    }
}

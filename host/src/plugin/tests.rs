use std::path::{Path, PathBuf};

use object::elf;
use object::write::elf::{FileHeader, ProgramHeader, Writer};
use object::{Endianness, write::StreamingBuffer};
use tempfile::TempDir;
use whimbrel_adapter_api::note::{NOTE_NAME, NOTE_TYPE, TARGET};

use super::*;
use crate::error::told;

/// A library in its outer form: headers and a note, no code.
pub(crate) struct Library {
    machine: elf::Machine,
    notes: Vec<String>,
}

impl Library {
    /// An adapter for this machine and ABI.
    pub(crate) fn adapter(name: &str, aliases: &str, schemes: &str) -> Self {
        let machine = match this_machine() {
            "x86_64" => elf::EM_X86_64,
            "aarch64" => elf::EM_AARCH64,
            other => panic!("the tests do not know the machine {other}"),
        };
        let note = format!(
            "abi={ABI}\napi={API_VERSION}\nmin_host={API_VERSION}\nname={name}\nversion=1.2.3\naliases={aliases}\n\
             schemes={schemes}\nsymbol=whimbrel_adapter_v1_{name}\ntarget={TARGET}\n"
        );
        Library { machine, notes: vec![note] }
    }

    fn with(mut self, line: &str, other: &str) -> Self {
        self.notes = self.notes.into_iter().map(|note| note.replace(line, other)).collect();
        self
    }

    /// With the notes of another one behind its own.
    fn beside(mut self, other: Library) -> Self {
        self.notes.extend(other.notes);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut buffer = StreamingBuffer::new(Vec::new());
        let mut writer = Writer::new(Endianness::Little, true, &mut buffer);
        let note: Vec<u8> = self.notes.iter().flat_map(|note| encoded_note(note)).collect();
        writer.reserve_file_header();
        writer.reserve_program_headers(2);
        let offset = writer.reserve(note.len() as u64, 4);
        let header = FileHeader {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_type: elf::ET_DYN,
            e_machine: self.machine,
            e_entry: 0,
            e_flags: elf::FileFlags(0),
        };
        writer.write_file_header(&header).expect("a header");
        writer.write_align_program_headers();
        let segment = |p_type, p_offset, size| ProgramHeader {
            p_type,
            p_flags: elf::PF_R,
            p_offset,
            p_vaddr: p_offset,
            p_paddr: p_offset,
            p_filesz: size,
            p_memsz: size,
            p_align: 4,
        };
        writer.write_program_header(&segment(elf::PT_LOAD, 0, offset + note.len() as u64));
        writer.write_program_header(&segment(elf::PT_NOTE, offset, note.len() as u64));
        writer.write_align(4);
        writer.write(&note);
        buffer.into_inner()
    }

    pub(crate) fn write(&self, path: &Path) {
        std::fs::create_dir_all(path.parent().expect("a file has a folder"))
            .expect("a folder for the library");
        std::fs::write(path, self.bytes()).expect("a library for the test");
    }
}

fn encoded_note(text: &str) -> Vec<u8> {
    let mut note = Vec::new();
    for number in [NOTE_NAME.len() as u32, text.len() as u32, NOTE_TYPE] {
        note.extend(number.to_le_bytes());
    }
    note.extend(NOTE_NAME);
    note.resize(note.len().next_multiple_of(4), 0);
    note.extend(text.as_bytes());
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

fn folder() -> TempDir {
    TempDir::new().expect("a folder for the test")
}

fn verdicts(inventory: &Inventory, folder: &Path) -> Vec<String> {
    let line = |found: &Found| format!("{} {} {}", found.name, found.path.display(), found.verdict);
    inventory.found.iter().map(|found| relative(&line(found), folder)).collect()
}

fn relative(text: &str, folder: &Path) -> String {
    text.replace(&format!("{}/", folder.display()), "").replace(&format!("{}", folder.display()), ".")
}

fn postgres() -> Library {
    Library::adapter("postgres", "supabase,postgresql", "postgres,postgresql")
}

#[test]
fn each_misfit_has_a_reason_of_its_own() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let whole = postgres().bytes();
    std::fs::write(path("text.so"), "no library").expect("a file");
    std::fs::write(path("cut.so"), &whole[..whole.len() - 8]).expect("a file");
    std::fs::write(path("stump.so"), &whole[..40]).expect("a file");
    Library { notes: Vec::new(), ..postgres() }.write(&path("other.so"));
    Library { machine: elf::EM_S390, ..postgres() }.write(&path("machine.so"));
    postgres().with(&format!("abi={ABI}\n"), "abi=7\n").write(&path("abi.so"));
    postgres().with(&format!("min_host={API_VERSION}\n"), "min_host=1.10.0\n").write(&path("newer.so"));
    postgres().with(&format!("min_host={API_VERSION}\n"), "min_host=v1.0.0\n").write(&path("vague.so"));
    postgres().with(&format!("target={TARGET}\n"), "target=x86_64-plan9\n").write(&path("system.so"));
    Library::adapter("mysql", "", "").write(&path("mysql.so"));
    postgres().write(&path("good.so"));
    let verdict = |name: &str| {
        let inventory = Search::nowhere().library("postgres", path(name)).inventory();
        inventory.found[0].verdict.to_string()
    };
    assert_eq!(verdict("absent.so"), "not there");
    assert_eq!(verdict("text.so"), "not an adapter: not an ELF library");
    assert_eq!(verdict("other.so"), "not an adapter: a library without Whimbrel's note");
    assert_eq!(verdict("machine.so"), format!("wrong architecture: s390x, this is {}", this_machine()));
    assert_eq!(verdict("abi.so"), format!("wrong ABI: ABI 7, this program has ABI {ABI}"));
    assert_eq!(
        verdict("newer.so"),
        format!(
            "wrong ABI: whimbrel-adapter-api 1.10.0 or later, this program has whimbrel-adapter-api {API_VERSION}"
        )
    );
    let vague = "wrong ABI: whimbrel-adapter-api v1.0.0 or later, ";
    assert!(verdict("vague.so").starts_with(vague), "{}", verdict("vague.so"));
    assert_eq!(verdict("system.so"), format!("wrong architecture: x86_64-plan9, this is {TARGET}"));
    let length = whole.len();
    assert_eq!(verdict("cut.so"), format!("broken: truncated: {} of at least {length} bytes", length - 8));
    assert_eq!(verdict("stump.so"), "broken: truncated");
    assert_eq!(verdict("mysql.so"), "broken: it is the adapter `mysql`");
    assert_eq!(verdict("good.so"), "usable");
}

#[test]
fn a_library_without_a_note_is_passed_over_unless_it_is_called_like_an_adapter() {
    let folder = folder();
    Library { notes: Vec::new(), ..postgres() }.write(&folder.path().join("libssl.so"));
    std::fs::write(folder.path().join("notes.txt"), "x").expect("a file");
    std::fs::write(folder.path().join("libwhimbrel_adapter_mysql.so"), "x").expect("a file");
    postgres().write(&folder.path().join("any_name.so"));
    let inventory = Search::nowhere().directory(folder.path()).inventory();
    assert_eq!(
        verdicts(&inventory, folder.path()),
        [
            "postgres any_name.so usable",
            "mysql libwhimbrel_adapter_mysql.so not an adapter: not an ELF library"
        ]
    );
}

#[test]
fn the_first_usable_library_of_a_name_wins_and_the_others_are_shown() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    Library { machine: elf::EM_S390, ..postgres() }.write(&path("a/libpg.so"));
    postgres().write(&path("b/libpg.so"));
    postgres().write(&path("c/libpg.so"));
    let search =
        ["a", "b", "c", "b"].into_iter().fold(Search::nowhere(), |search, name| search.directory(path(name)));
    let inventory = search.inventory();
    assert_eq!(
        verdicts(&inventory, folder.path()),
        [
            format!("postgres a/libpg.so wrong architecture: s390x, this is {}", this_machine()),
            "postgres b/libpg.so usable".to_owned(),
            "postgres c/libpg.so not used: b/libpg.so comes first".to_owned(),
        ]
    );
    assert_eq!(inventory.library("postgres").ok().map(|found| found.path.clone()), Some(path("b/libpg.so")));
    let alias = inventory.name_where(|note| note.aliases.iter().any(|alias| alias == "supabase"));
    assert_eq!(alias, Some("postgres"));
}

#[test]
fn a_library_that_was_configured_has_no_substitute() {
    let folder = folder();
    postgres().write(&folder.path().join("plugins/libpg.so"));
    let search = Search::nowhere().library("postgres", folder.path().join("mine.so"));
    let inventory = search.directory(folder.path().join("plugins")).inventory();
    let error = inventory.library("postgres").expect_err("the library that was configured is not there");
    assert_eq!(
        relative(&told(&error.problems), folder.path()),
        "\
error[adapter-not-loaded]: cannot load the adapter `postgres`
  looked in  mine.so      not there
hint: correct `adapters.postgres.path` in plugins.toml, or remove it to search the usual places"
    );
    assert_eq!(
        verdicts(&inventory, folder.path())[1],
        "postgres plugins/libpg.so not used: mine.so comes first"
    );
}

#[test]
fn not_loaded_lists_every_place_with_its_reason() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("plugins")).expect("a folder");
    Library { machine: elf::EM_S390, ..postgres() }.write(&path("lib/libwhimbrel_adapter_postgres.so"));
    let search = ["plugins", "lib", "nowhere"]
        .into_iter()
        .fold(Search::nowhere(), |search, name| search.directory(path(name)));
    let error = search.inventory().library("postgres").map(|found| found.name.clone()).expect_err("a misfit");
    let expected = "\
error[adapter-not-loaded]: cannot load the adapter `postgres`
  looked in  plugins/libwhimbrel_adapter_postgres.so      not there
             lib/libwhimbrel_adapter_postgres.so      wrong architecture: s390x, this is MACHINE
             nowhere/libwhimbrel_adapter_postgres.so      not there
hint: set `adapters.postgres.path` in plugins.toml to a library built for MACHINE";
    assert_eq!(relative(&told(&error.problems), folder.path()), expected.replace("MACHINE", this_machine()));
}

#[test]
fn an_adapter_of_another_abi_is_named_with_its_version() {
    let folder = folder();
    postgres().with(&format!("abi={ABI}\n"), "abi=7\n").write(&folder.path().join("libpg.so"));
    let error = Search::nowhere()
        .directory(folder.path())
        .inventory()
        .library("postgres")
        .map(|found| found.name.clone())
        .expect_err("another ABI");
    assert_eq!(
        relative(&told(&error.problems), folder.path()),
        format!(
            "\
error[abi-mismatch]: the adapter `postgres` 1.2.3 speaks ABI 7, this program speaks ABI {ABI}
  --> libpg.so
hint: install the adapter and `whimbrel` in versions that were made for each other"
        )
    );
}

#[test]
fn an_unknown_name_lists_what_was_searched_and_the_nearest_name() {
    let folder = folder();
    Library::adapter("sqlite", "", "sqlite,file").write(&folder.path().join("a/libs.so"));
    postgres().write(&folder.path().join("a/libpg.so"));
    std::fs::create_dir(folder.path().join("b")).expect("a folder");
    let search = ["a", "b", "c"]
        .into_iter()
        .fold(Search::nowhere(), |search, name| search.directory(folder.path().join(name)));
    assert_eq!(
        relative(&told(&[search.inventory().unknown("sqlte", &[])]), folder.path()),
        "\
error[adapter-not-found]: no adapter named `sqlte`
  looked in  a      `postgres`, `sqlite`
             b      no adapters
             c      no such folder
hint: did you mean `sqlite`? `whimbrel adapters` lists the ones that were found"
    );
}

#[test]
fn a_library_that_the_system_cannot_load_is_answered_in_the_loaders_words() {
    let folder = folder();
    postgres().write(&folder.path().join("libpg.so"));
    let inventory = Search::nowhere().directory(folder.path()).inventory();
    let found = inventory.library("postgres").expect("the headers are in order");
    let error = found.load().map(|adapter| adapter.info().name).expect_err("there is nothing in it");
    let problem = &error.problems[0];
    assert_eq!(problem.name, Name::AdapterNotLoaded);
    let cause = problem.cause.as_ref().expect("the loader says why");
    assert!(cause.contains("object file has no dynamic section"), "{cause}");
}

#[test]
fn the_usual_places_hold_neither_the_working_directory_nor_a_relative_folder() {
    let search = Search::nowhere().usual_places();
    let program = std::env::current_exe().expect("the program knows its path");
    let first = search.directories.first().map(|(folder, _)| folder.clone());
    assert_eq!(first, program.parent().map(PathBuf::from));
    assert!(search.directories.iter().all(|(folder, _)| folder.is_absolute()), "{search:?}");
}

/// An adapter that is built over another one has the notes of both, in the linker's order.
#[test]
fn of_several_notes_the_one_of_this_abi_and_file_counts() {
    let folder = folder();
    let name = |library: Library, file: &str| {
        let path = folder.path().join(file);
        library.write(&path);
        let inventory = Search::nowhere().library("postgres", path).inventory();
        inventory.found[0].note.as_ref().map(|note| (note.name.clone(), note.abi.clone()))
    };
    let other_abi = || postgres().with(&format!("abi={ABI}\n"), "abi=7\n");
    let told = |name: &str, abi: &str| Some((name.to_owned(), abi.to_owned()));
    let ours = ABI.to_string();
    assert_eq!(name(other_abi().beside(postgres()), "both.so"), told("postgres", &ours));
    assert_eq!(name(other_abi(), "later.so"), told("postgres", "7"));
    let built_over = || Library::adapter("mysql", "", "").beside(postgres());
    assert_eq!(name(built_over(), "any.so"), told("mysql", &ours));
    assert_eq!(name(built_over(), "libpostgres.so"), told("postgres", &ours));
    assert_eq!(name(built_over(), "libmysql.so"), told("mysql", &ours));
}

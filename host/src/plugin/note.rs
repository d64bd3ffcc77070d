//! Reads what a library says of itself, without running any of its code.
//!
//! Takes the note from the program headers, as the loader of the system would, so it is there in a stripped library
//! too. Works for any machine: a library for another one can still say which adapter it is.

use std::fs::File;
use std::path::Path;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind, ReadCache, ReadRef};
use whimbrel_adapter_api::note::{ABI, NOTE_NAME, NOTE_TYPE, Note};

/// What a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// There is no such file.
    Nothing,
    /// No library with our note in it.
    Foreign(String),
    /// A library.
    Library {
        /// The architecture it was built for.
        machine: String,
        /// What it says of itself, if that can be read.
        note: Option<Box<Note>>,
        /// What is wrong with the file.
        damage: Option<String>,
    },
}

/// Reads the headers of the file at `path`.
pub(super) fn read(path: &Path) -> Inside {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Inside::Nothing,
        _ => Inside::Foreign(format!("cannot be read: {error}")),
    };
    // Before it is opened: a pipe would wait there for somebody to write into it.
    let length = match path.metadata() {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(_) => return Inside::Foreign("not a file".to_owned()),
        Err(error) => return unreadable(error),
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return unreadable(error),
    };
    let data = &ReadCache::new(file);
    match FileKind::parse(data) {
        Ok(FileKind::Elf64) => inspect::<FileHeader64<Endianness>>(data, length, path),
        Ok(FileKind::Elf32) => inspect::<FileHeader32<Endianness>>(data, length, path),
        Ok(_) => Inside::Foreign("not an ELF library".to_owned()),
        Err(_) if data.read_bytes_at(0, 4) == Ok(&elf::ELFMAG[..]) => damaged("truncated"),
        Err(_) => Inside::Foreign("not an ELF library".to_owned()),
    }
}

fn damaged(how: &str) -> Inside {
    // What cannot be read cannot be for another machine.
    Inside::Library { machine: this_machine().to_owned(), note: None, damage: Some(how.to_owned()) }
}

fn inspect<Elf: FileHeader<Endian = Endianness>>(data: &ReadCache<File>, length: u64, path: &Path) -> Inside {
    let Ok(header) = Elf::parse(data) else {
        return damaged("truncated");
    };
    let Ok(endian) = header.endian() else {
        return damaged("its header makes no sense");
    };
    if header.e_type(endian) != elf::ET_DYN {
        return Inside::Foreign("an ELF file, but not a library".to_owned());
    }
    let machine = machine_name(header.e_machine(endian), header.is_type_64());
    let Ok(segments) = header.program_headers(endian, data) else {
        return damaged("truncated");
    };
    // The loader maps what the headers promise, and touching a page behind the end of the file kills the process:
    // this has to be seen before dlopen. The table of sections is not loaded, but it is the end of a whole file.
    let end_of = |segment: &Elf::ProgramHeader| {
        let (offset, size) = segment.file_range(endian);
        offset.saturating_add(size)
    };
    let table_size = u64::from(header.e_shnum(endian)) * u64::from(header.e_shentsize(endian));
    let table_end = header.e_shoff(endian).into().saturating_add(table_size);
    let end = segments.iter().map(end_of).max().unwrap_or(0).max(table_end);
    let damage = (end > length).then(|| format!("truncated: {length} of at least {end} bytes"));
    let notes = segments.iter().flat_map(|segment| notes_in::<Elf>(segment, endian, data)).collect();
    Inside::Library { machine, note: choose(notes, path).map(Box::new), damage }
}

/// Returns the note that counts, of a library with several: one for each ABI that it speaks, or one of each adapter that is
/// linked into it.
fn choose(notes: Vec<Note>, path: &Path) -> Option<Note> {
    let file = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let is_of_file = |note: &Note| {
        let name = note.symbol.strip_prefix("whimbrel_adapter_v1_");
        name.is_some_and(|name| file.strip_prefix(std::env::consts::DLL_PREFIX) == Some(name))
    };
    notes.into_iter().min_by_key(|note| (note.abi != ABI.to_string(), !is_of_file(note)))
}

fn notes_in<Elf: FileHeader<Endian = Endianness>>(
    segment: &Elf::ProgramHeader,
    endian: Endianness,
    data: &ReadCache<File>,
) -> Vec<Note> {
    let mut found = Vec::new();
    let Ok(Some(mut notes)) = segment.notes(endian, data) else { return found };
    while let Ok(Some(note)) = notes.next() {
        let ours = NOTE_NAME.strip_suffix(b"\0").unwrap_or(NOTE_NAME);
        if note.name() == ours && note.n_type(endian).0 == NOTE_TYPE {
            found.extend(Note::parse(note.desc()));
        }
    }
    found
}

/// Returns the architecture of this program.
pub(super) fn this_machine() -> &'static str {
    std::env::consts::ARCH
}

/// Returns the name that Rust has for an architecture.
fn machine_name(machine: elf::Machine, is_64: bool) -> String {
    let name = match (machine, is_64) {
        (elf::EM_X86_64, true) => "x86_64",
        (elf::EM_X86_64, false) => "x86_64 with 32-bit pointers",
        (elf::EM_386, _) => "x86",
        (elf::EM_AARCH64, true) => "aarch64",
        (elf::EM_ARM, _) => "arm",
        (elf::EM_RISCV, true) => "riscv64",
        (elf::EM_RISCV, false) => "riscv32",
        (elf::EM_PPC64, _) => "powerpc64",
        (elf::EM_S390, true) => "s390x",
        (elf::EM_LOONGARCH, true) => "loongarch64",
        (elf::Machine(number), _) => return format!("machine {number}"),
    };
    name.to_owned()
}

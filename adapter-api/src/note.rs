//! The note that tells what a library is before any of its code runs.
//!
//! An ELF note in section `.note.whimbrel`: name `Whimbrel`, type 1, and a descriptor of `key=value` lines: `abi`,
//! `api`, `min_host`, `name`, `version`, `aliases`, `schemes`, `fence`, `capabilities`, `symbol`, `target`. Lists are separated by commas.
//! It lies in a loaded segment, so it survives `strip`.
//!
//! The host reads it from the program headers and refuses a library by it, with the reason, before `dlopen`.

use crate::adapter::{Capability, Identity};

/// The number of the ABI that this crate speaks. What may change under it is said in docs/abi.md.
pub const ABI: u32 = 1;

/// The oldest version of this crate that a program may be built with to load an adapter that needs nothing newer.
pub const OLDEST_HOST: &str = "1.0.0";

/// The version of this crate.
pub const API_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Architecture, system and C library that this crate was built for: `x86_64-linux-gnu`. A library for another one is
/// refused.
pub const TARGET: &str = match std::str::from_utf8(&TARGET_BYTES) {
    Ok(target) => target,
    Err(_) => panic!("texts make a text"),
};

const TARGET_PARTS: [&str; 5] =
    [std::env::consts::ARCH, "-", std::env::consts::OS, BEFORE_ENVIRONMENT, ENVIRONMENT];

const BEFORE_ENVIRONMENT: &str = if ENVIRONMENT.is_empty() { "" } else { "-" };

const ENVIRONMENT: &str = match () {
    () if cfg!(target_env = "gnu") => "gnu",
    () if cfg!(target_env = "musl") => "musl",
    () if cfg!(target_env = "msvc") => "msvc",
    () => "",
};

// `concat!` takes literals only, and these are constants.
const TARGET_BYTES: [u8; total(&TARGET_PARTS)] = {
    let mut bytes = [0; total(&TARGET_PARTS)];
    let (mut length, mut index) = (0, 0);
    while index < TARGET_PARTS.len() {
        let part = TARGET_PARTS[index].as_bytes();
        bytes.split_at_mut(length).1.split_at_mut(part.len()).0.copy_from_slice(part);
        length += part.len();
        index += 1;
    }
    bytes
};

const fn total(parts: &[&str]) -> usize {
    let (mut length, mut index) = (0, 0);
    while index < parts.len() {
        length += parts[index].len();
        index += 1;
    }
    length
}

/// The name that the note has in its header.
pub const NOTE_NAME: &[u8] = b"Whimbrel\0";

/// The type that the note has in its header.
pub const NOTE_TYPE: u32 = 1;

/// What the note of a library says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// The ABI that the adapter speaks.
    pub abi: String,
    /// The version of this crate it was built with.
    pub api: String,
    /// The oldest version of this crate that a host may have.
    pub min_host: String,
    /// The adapter's name.
    pub name: String,
    /// The adapter's version.
    pub version: String,
    /// Other names that a migrations folder may have.
    pub aliases: Vec<String>,
    /// The url schemes it serves.
    pub schemes: Vec<String>,
    /// What keeps two runners apart, in a word.
    pub fence: String,
    /// What it can do, in words.
    pub capabilities: Vec<String>,
    /// The symbol that holds the header.
    pub symbol: String,
    /// Architecture and system it was built for.
    pub target: String,
}

impl Note {
    /// Reads the descriptor of a note. Keys that this version does not know are passed over.
    ///
    /// Returns `None` when it is no text or a key that identifies the adapter is missing.
    #[must_use]
    pub fn parse(descriptor: &[u8]) -> Option<Note> {
        let text = std::str::from_utf8(descriptor).ok()?.trim_end_matches('\0');
        let mut note = Note::default();
        let list =
            |value: &str| value.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "abi" => value.clone_into(&mut note.abi),
                "api" => value.clone_into(&mut note.api),
                "min_host" => value.clone_into(&mut note.min_host),
                "name" => value.clone_into(&mut note.name),
                "version" => value.clone_into(&mut note.version),
                "aliases" => note.aliases = list(value),
                "schemes" => note.schemes = list(value),
                "fence" => value.clone_into(&mut note.fence),
                "capabilities" => note.capabilities = list(value),
                "symbol" => value.clone_into(&mut note.symbol),
                "target" => value.clone_into(&mut note.target),
                _ => {}
            }
        }
        let complete = ![&note.abi, &note.name, &note.symbol].into_iter().any(String::is_empty);
        complete.then_some(note)
    }
}

/// The longest note. A constant, because the size of a static cannot depend on what a macro was given.
#[doc(hidden)]
pub const CAPACITY: usize = 1024;

/// A note in the form that the ELF file holds.
#[doc(hidden)]
#[repr(C, align(4))]
pub struct EncodedNote {
    name_size: u32,
    descriptor_size: u32,
    kind: u32,
    name: [u8; 12],
    descriptor: [u8; CAPACITY],
}

impl EncodedNote {
    /// Writes the note of an adapter, at compile time.
    #[must_use]
    pub const fn new(identity: &Identity, min_host: &str, symbol: &str, target: &str) -> Self {
        assert!(is_version(min_host), "MIN_HOST is three numbers: 1.2.0");
        let writer = Writer { bytes: [0; CAPACITY], length: 0 }
            .line("abi=", &[ABI_TEXT])
            .line("api=", &[API_VERSION])
            .line("min_host=", &[min_host])
            .line("name=", &[identity.name])
            .line("version=", &[identity.version])
            .line("aliases=", identity.aliases)
            .line("schemes=", identity.schemes)
            .line("fence=", &[identity.fence.word()])
            .capabilities(identity.capabilities)
            .line("symbol=", &[symbol])
            .line("target=", &[target]);
        let mut name = [0; 12];
        let mut index = 0;
        while index < NOTE_NAME.len() {
            name[index] = NOTE_NAME[index];
            index += 1;
        }
        EncodedNote {
            name_size: NOTE_NAME.len() as u32,
            descriptor_size: CAPACITY as u32,
            kind: NOTE_TYPE,
            name,
            descriptor: writer.bytes,
        }
    }
}

/// Returns whether a text is three numbers with dots between them.
const fn is_version(text: &str) -> bool {
    let text = text.as_bytes();
    let (mut dots, mut digits, mut index) = (0, 0, 0);
    while index < text.len() {
        match text[index] {
            b'0'..=b'9' => digits += 1,
            b'.' if digits > 0 => (dots, digits) = (dots + 1, 0),
            _ => return false,
        }
        index += 1;
    }
    dots == 2 && digits > 0
}

/// [`ABI`] as text; formatting is not possible in a constant.
const ABI_TEXT: &str = "1";

struct Writer {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Writer {
    const fn line(self, key: &str, values: &[&str]) -> Self {
        let mut writer = self.text(key);
        let mut index = 0;
        while index < values.len() {
            if index > 0 {
                writer = writer.text(",");
            }
            writer = writer.text(values[index]);
            index += 1;
        }
        writer.text("\n")
    }

    const fn capabilities(self, capabilities: &[Capability]) -> Self {
        let mut writer = self.text("capabilities=");
        let mut index = 0;
        while index < capabilities.len() {
            if index > 0 {
                writer = writer.text(",");
            }
            writer = writer.text(capabilities[index].word());
            index += 1;
        }
        writer.text("\n")
    }

    const fn text(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        assert!(self.length + text.len() <= CAPACITY, "the adapter's names do not fit into its note");
        let mut index = 0;
        while index < text.len() {
            self.bytes[self.length] = text[index];
            self.length += 1;
            index += 1;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::Fence;

    const IDENTITY: Identity = Identity {
        name: "toy",
        version: "0.3.1",
        aliases: &["play", "game"],
        schemes: &["toy"],
        fence: Fence::UniqueKey,
        capabilities: &[Capability::Transactions, Capability::TransactionalDdl],
    };

    #[test]
    fn a_written_note_reads_back() {
        let encoded = EncodedNote::new(&IDENTITY, "1.2.0", "whimbrel_adapter_v1_toy", "x86_64-linux");
        let note = Note::parse(&encoded.descriptor).expect("the note is complete");
        assert_eq!(note.name, "toy");
        assert_eq!(note.aliases, ["play", "game"]);
        assert_eq!(note.schemes, ["toy"]);
        assert_eq!(note.fence, "unique-key");
        assert_eq!(note.capabilities, ["transactions", "transactional-ddl"]);
        assert_eq!(note.symbol, "whimbrel_adapter_v1_toy");
        assert_eq!(note.abi, ABI.to_string());
        assert_eq!(note.min_host, "1.2.0");
        assert_eq!(note.target, "x86_64-linux");
    }

    #[test]
    fn a_version_is_three_numbers() {
        assert!(is_version("1.0.0") && is_version("1.12.30"));
        for text in ["", "1", "1.2", "v1.2.0", "1.2.0+x", "1..0", "1.2.", "1.2.3.4"] {
            assert!(!is_version(text), "{text}");
        }
    }

    #[test]
    fn a_note_without_a_name_is_none() {
        assert_eq!(Note::parse(b"abi=1\nsymbol=x\n"), None);
        assert_eq!(Note::parse(&[0xff, 0xfe]), None);
    }
}

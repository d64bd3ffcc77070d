//! The layout of everything that crosses, and the numbers in it, against what was frozen.
//!
//! A change that `layout.txt` or `numbers.txt` shows is a change of the ABI. What may change, and how, stands in docs/abi.md.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::{env, fs};

use abi_stable::StableAbi;
use abi_stable::type_layout::{TLData, TLField, TypeLayout};

use crate::abi::traits::RootRef;

const FROZEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/abi/frozen/");

#[test]
#[cfg(target_pointer_width = "64")]
fn the_layout_is_the_one_that_was_frozen() {
    let now = describe(RootRef::LAYOUT);
    let frozen = frozen("layout.txt", &now);
    let differing =
        frozen.lines().chain([""]).zip(now.lines().chain([""])).find(|(frozen, now)| frozen != now);
    assert!(frozen == now, "layout.txt differs first at (frozen, now): {differing:?}");
}

/// Numbers may be added. One that was given stays.
#[test]
fn every_number_means_what_it_meant() {
    let now = numbers();
    let frozen = frozen("numbers.txt", &now);
    let now: BTreeSet<&str> = now.lines().collect();
    let changed: Vec<&str> = frozen.lines().filter(|line| !now.contains(line)).collect();
    assert_eq!(changed, Vec::<&str>::new());
}

fn frozen(file: &str, now: &str) -> String {
    let path = format!("{FROZEN}{file}");
    if env::var_os("WHIMBREL_UPDATE_ABI").is_some() {
        fs::write(&path, now).expect("the file can be written");
    }
    fs::read_to_string(path).expect("the file was frozen")
}

/// Lists the numbers of the enums, and those that stand in the modules of this ABI.
fn numbers() -> String {
    let mut text = String::new();
    macro_rules! enums {
        ($($name:ident)*) => { $( for variant in crate::$name::ALL {
            let _ = writeln!(text, "{}::{variant:?} = {}", stringify!($name), variant.code());
        } )* };
    }
    enums! {
        Access Capability Class Commit ErrorKind Feature Fence Isolation Liveness Marking Mode PieceKind Pointing Rest Retry
        RowDirection RowState Sample Session Sharing State ValueKind Wanted
    }
    macro_rules! words {
        ($($name:ident)*) => { $( for variant in crate::$name::ALL {
            let _ = writeln!(text, "{}::{variant:?} is called {}", stringify!($name), variant.word());
        } )* };
    }
    words! { Capability Fence RowDirection RowState }
    let _ = writeln!(text, "a brief checksum has {} digits", crate::BRIEF_DIGITS);
    for column in crate::HISTORY_COLUMNS {
        let _ = writeln!(text, "the history has the column {column}");
    }
    let sources = [
        ("cells", include_str!("../cells.rs")),
        ("convert", include_str!("../convert.rs")),
        ("quirks", include_str!("../quirks.rs")),
        ("text", include_str!("../text.rs")),
    ];
    for (file, source) in sources {
        let mut module = "";
        for line in source.lines() {
            if let Some(name) = line.strip_prefix("mod ") {
                module = name.trim_end_matches(" {");
            }
            let constant = line.trim_start().strip_prefix("pub(super) const ");
            if let Some((name, number)) = constant.and_then(|constant| constant.split_once(": u32 = ")) {
                let _ = writeln!(text, "{file}::{module}::{name} = {}", number.trim_end_matches(';'));
            }
        }
    }
    text
}

/// Describes a type and all that it is made of, in the order in which they are met.
fn describe(root: &'static TypeLayout) -> String {
    let mut met = Met { types: vec![root] };
    let mut text = String::new();
    let mut next = 0;
    while let Some(layout) = met.types.get(next).copied() {
        let _ = writeln!(
            text,
            "{}  {}, size {}, alignment {}",
            met.word(layout),
            kind(layout),
            layout.size(),
            layout.alignment()
        );
        for field in fields(layout) {
            text.push_str(&met.field(&field));
        }
        for field in layout.phantom_fields().iter() {
            let _ = writeln!(text, "  made for {}", met.word(field.layout()));
        }
        next += 1;
    }
    text
}

/// The types that were met. A name alone says too little: it leaves out what a generic type is made for.
struct Met {
    types: Vec<&'static TypeLayout>,
}

impl Met {
    fn word(&mut self, layout: &'static TypeLayout) -> String {
        let same = |met: &&'static TypeLayout| met.get_utypeid() == layout.get_utypeid();
        let number = self.types.iter().position(same).unwrap_or_else(|| {
            self.types.push(layout);
            self.types.len() - 1
        });
        // Counted among its namesakes, so that a type that is added moves no other one's number.
        let ordinal = self.types[..=number].iter().filter(|met| met.name() == layout.name()).count();
        format!("{}#{ordinal}", layout.name())
    }

    fn field(&mut self, field: &TLField) -> String {
        let mut text = format!("  {}: {}\n", field.name(), self.word(field.layout()));
        for function in field.function_range().iter() {
            let parameters: Vec<String> =
                function.param_type_layouts.iter().map(|layout| self.word(layout())).collect();
            let returned =
                function.return_type_layout().map(|layout| self.word(layout())).unwrap_or_default();
            let names = function.param_names.trim_end_matches(';');
            let _ = writeln!(text, "    ({names}) ({}) {returned}", parameters.join(", "));
        }
        text
    }
}

fn kind(layout: &'static TypeLayout) -> String {
    match layout.data() {
        TLData::Primitive(primitive) => format!("primitive {primitive:?}"),
        TLData::Opaque => "opaque".to_owned(),
        TLData::Struct { .. } => "struct".to_owned(),
        TLData::Union { .. } => "union".to_owned(),
        TLData::Enum(alternatives) => format!("one of {}", alternatives.variant_names.trim_end_matches(';')),
        TLData::PrefixType(prefix) => format!("may grow behind field {}", prefix.first_suffix_field),
    }
}

fn fields(layout: &'static TypeLayout) -> Vec<TLField> {
    match layout.data() {
        TLData::Primitive(_) | TLData::Opaque => Vec::new(),
        TLData::Struct { fields } | TLData::Union { fields } => fields.to_vec(),
        TLData::Enum(alternatives) => alternatives.fields.to_vec(),
        TLData::PrefixType(prefix) => prefix.fields.to_vec(),
    }
}

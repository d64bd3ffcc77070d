//! Any files of a folder: headers and checksums do not depend on the pieces in which a file is read, nor on an editor's
//! ways with line ends, and a `-- Rollback:` stands in its file where its script says.
//!
//! A line `=== PATH` begins a file; what stands before the first one is `001_a.sql`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use whimbrel::source::fuzzing::{folder, header};
use whimbrel::source::{Checksum, Content, Hasher, Migrations, Script, Transaction};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

fuzz_target!(|input: &[u8]| {
    let files = files(input);
    for (_, text) in &files {
        pieces_make_no_difference(text);
        only_an_editors_ways_make_no_difference(text);
        line_ends_are_not_heard(text);
        transaction_is_asked_for_again(text);
    }
    match folder(&files) {
        Ok(migrations) => migrations_are_as_written(&migrations, &files),
        Err(error) => {
            let lines = files.iter().map(|(_, text)| lines(text).count()).max().unwrap_or_default() as u64;
            for place in error.problems.iter().flat_map(|problem| &problem.places) {
                assert!(place.line.is_none_or(|line| line <= lines.max(1)), "behind the end: {place:?}");
            }
        }
    }
});

fn files(input: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut files = Vec::new();
    let (mut path, mut start): (&[u8], usize) = (b"001_a.sql", 0);
    let mut at = 0;
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        if let Some(name) = line.strip_prefix(b"=== ") {
            files.push((path, &input[start..at]));
            (path, start) = (name.trim_ascii_end(), at + line.len());
        }
        at += line.len();
    }
    files.push((path, &input[start..]));
    files
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

fn pieces_make_no_difference(text: &[u8]) {
    let whole = header([text]);
    for length in [1, 2, 7] {
        assert_eq!(header(text.chunks(length)), whole, "in pieces of {length}");
        let mut hasher = Hasher::default();
        text.chunks(length).for_each(|piece| hasher.update(piece));
        assert_eq!(hasher.finish(), Checksum::of(text), "in pieces of {length}");
    }
    let written = Checksum::of(text).to_string();
    assert_eq!(Checksum::parse(&written), Some(Checksum::of(text)));
    if let Some(parsed) = std::str::from_utf8(text).ok().and_then(Checksum::parse) {
        assert_eq!(parsed.to_string().as_bytes(), text, "read as another checksum");
    }
}

/// What a checksum is about, by the rules of version 1 and not by the code that keeps them.
fn normal(text: &[u8]) -> Vec<u8> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut normal = Vec::new();
    for (index, byte) in text.iter().enumerate() {
        if !(*byte == b'\r' && text.get(index + 1) == Some(&b'\n')) {
            normal.push(*byte);
        }
    }
    let end = normal.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
    normal.truncate(end);
    normal
}

fn only_an_editors_ways_make_no_difference(text: &[u8]) {
    let checksum = Checksum::of(text);
    assert_eq!(
        Checksum::of(&normal(text)),
        checksum_of_plain(&normal(text)),
        "the normal form is not normal"
    );
    let as_elsewhere = [BYTE_ORDER_MARK, &with_crlf(&normal(text)), b"\r\n\n"].concat();
    // Once normal, a text may begin with a second mark or hold CR CR LF: these are no editor's ways.
    if normal(&as_elsewhere) == normal(text) {
        assert_eq!(Checksum::of(&as_elsewhere), checksum);
    }
    // One byte more or less, at a place that the text itself chooses.
    let place = text.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let place = place % (text.len() + 1);
    for byte in [b'\r', b'\n', b' ', b'-', 0, 0xEF] {
        let mut longer = text.to_vec();
        longer.insert(place, byte);
        assert_eq!(Checksum::of(&longer) == checksum, normal(&longer) == normal(text), "{byte} at {place}");
    }
    if place < text.len() {
        let mut shorter = text.to_vec();
        shorter.remove(place);
        assert_eq!(Checksum::of(&shorter) == checksum, normal(&shorter) == normal(text), "without {place}");
    }
}

/// Returns the checksum of a text behind a byte order mark, so that the text's own first bytes are text.
fn checksum_of_plain(text: &[u8]) -> Checksum {
    match normal(text) == text {
        true => Checksum::of(&[BYTE_ORDER_MARK, text].concat()),
        false => Checksum::of(text),
    }
}

fn with_crlf(text: &[u8]) -> Vec<u8> {
    lines(text).collect::<Vec<_>>().join(&b"\r\n"[..])
}

fn line_ends_are_not_heard(text: &[u8]) {
    // Within 1 MiB for a line, where the reader stops listening.
    if text.len() < 1 << 19 {
        assert_eq!(header([&with_crlf(text)[..]]), header([text]), "with CRLF");
    }
    if !text.starts_with(BYTE_ORDER_MARK) {
        assert_eq!(header([BYTE_ORDER_MARK, text]), header([text]), "with a byte order mark");
    }
}

fn transaction_is_asked_for_again(text: &[u8]) {
    let text = String::from_utf8_lossy(text).into_owned();
    let asked = Transaction::asked_for_by(&text);
    assert_eq!(asked.written_into(text.clone()), text, "it asks for that already");
    let written = Transaction::None.written_into(text);
    assert_eq!(Transaction::asked_for_by(&written), Transaction::None);
}

fn migrations_are_as_written(migrations: &Migrations, files: &[(&[u8], &[u8])]) {
    for migration in &migrations.list {
        let path = migration.up.path.as_os_str().as_encoded_bytes();
        // Of two texts for one path the folder holds the last.
        let (_, text) = files.iter().rfind(|(name, _)| *name == path).expect("a file of the folder");
        assert_eq!(migration.checksum, Checksum::of(text));
        assert!(migration.depends.iter().all(|id| migrations.find(&id.0).is_ok()), "{:?}", migration.depends);
        if let Some(down) = migration.down.as_ref().filter(|down| down.path == migration.up.path) {
            rollback_stands_where_it_says(down, text);
        }
    }
}

fn rollback_stands_where_it_says(down: &Script, text: &[u8]) {
    let Content::Bytes(script) = &down.content else { panic!("a rollback is in memory") };
    let script = std::str::from_utf8(script).expect("a rollback is text");
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let first = usize::try_from(down.first_line).expect("a line of the file") - 1;
    let of_file: Vec<&[u8]> = lines(text).skip(first).collect();
    assert!(script.lines().count() <= of_file.len(), "it goes on behind the file");
    let said = script.split('\n').zip(of_file).filter(|(line, _)| !line.trim().is_empty());
    for (line, of_file) in said {
        let of_file = String::from_utf8_lossy(of_file).into_owned();
        let indent = line.chars().take_while(|letter| *letter == ' ').count();
        let there: String = of_file.chars().skip(indent).collect();
        assert_eq!(there.trim_end(), line.trim_start_matches(' ').trim_end(), "in {of_file:?}");
    }
}

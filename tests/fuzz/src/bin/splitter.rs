//! Any bytes, under any rules: what the splitter gives out stands in the input in order and at its place, it does not
//! matter in which parts the input arrives, and the pieces that are sent hold the same statements and data.
//!
//! The first four bytes choose the features, the fifth where the input is cut.

#![no_main]

use std::cell::Cell;
use std::io::Read;

use libfuzzer_sys::fuzz_target;
use whimbrel::splitter::{Item, Location, Pieces, Rules, SplitError, Splitter, Take, locate};
use whimbrel_adapter_api::{Class, Feature, Lexer, Marking, PieceKind, Rest};

/// The longest piece of more than one statement, and of data.
const LONGEST: usize = 256 * 1024;

fuzz_target!(|input: &[u8]| {
    let Some((chosen, script)) = input.split_first_chunk::<5>() else {
        return;
    };
    let rules = rules(u32::from_le_bytes([chosen[0], chosen[1], chosen[2], chosen[3]]));
    let whole = split(&rules, script);
    stands_in_the_script(script, &whole);
    let (before, after) = script.split_at(usize::from(chosen[4]).min(script.len()));
    assert_eq!(split(&rules, before.chain(after)), whole, "cut at {}", before.len());
    is_found_again(&rules, script, &whole);
    is_sent(&rules, script, &whole, |_| true);
    is_sent(&rules, script, &whole, |index| index % 2 == 1);
});

fn rules(chosen: u32) -> Rules {
    let features: Vec<_> =
        Feature::ALL.iter().copied().filter(|feature| chosen >> (feature.code() - 1) & 1 == 1).collect();
    let patterns = [
        ("COPY * [( ... )] FROM STDIN", Class::CopyFromStdin),
        ("\\RESTRICT", Class::Skipped),
        ("SELECT ... ROW_COUNT (", Class::ReadsPrevious),
        ("BEGIN", Class::Begin),
    ];
    let mut lexer = Lexer::new(&features, &patterns);
    lexer.comment_version = 80_000;
    Rules::new(&lexer).expect("the patterns are sound")
}

/// What came out. Data that touches is one.
#[derive(Debug, PartialEq)]
enum Part {
    Statement(Location, String, Class),
    Data(u64, Vec<u8>),
    End,
    Problem(String),
}

fn split(rules: &Rules, reader: impl Read) -> Vec<Part> {
    let mut splitter = Splitter::new(rules, reader);
    let mut parts = Vec::new();
    let mut statements = 0;
    loop {
        let part = match splitter.next_item() {
            Ok(None) => return parts,
            Ok(Some(Item::Statement(statement))) => {
                let in_text = |word: &str| statement.text.contains(word);
                assert!(statement.words().all(|word| in_text(word.text)), "a word is not in its statement");
                assert_eq!(statement.index, statements, "a statement is not counted");
                statements += 1;
                Part::Statement(statement.location, statement.text.to_owned(), statement.class)
            }
            Ok(Some(Item::CopyData { offset, bytes })) => {
                assert!(bytes.len() <= LONGEST, "{} bytes of data at once", bytes.len());
                match parts.last_mut() {
                    Some(Part::Data(_, before)) => {
                        before.extend_from_slice(bytes);
                        continue;
                    }
                    _ => Part::Data(offset, bytes.to_vec()),
                }
            }
            Ok(Some(_)) => Part::End,
            Err(error) => {
                parts.push(Part::Problem(problem(error)));
                return parts;
            }
        };
        parts.push(part);
    }
}

fn problem(error: SplitError) -> String {
    match error {
        SplitError::Script(problem) => format!("{:?} {:?}", problem.kind, problem.location),
        SplitError::Read(error) => panic!("reading from memory failed: {error}"),
    }
}

fn stands_in_the_script(script: &[u8], parts: &[Part]) {
    let mut end = 0;
    for part in parts {
        let (offset, bytes) = match part {
            Part::Statement(location, text, _) => (location.offset, text.as_bytes()),
            Part::Data(offset, bytes) => (*offset, bytes.as_slice()),
            Part::End | Part::Problem(_) => continue,
        };
        let start = usize::try_from(offset).expect("the script is in memory");
        assert!(start >= end, "parts overlap");
        end = start + bytes.len();
        assert_eq!(script.get(start..end), Some(bytes), "a part does not stand in the script");
        if let Part::Statement(location, text, _) = part {
            assert!(!text.is_empty(), "a statement without text");
            let mark = if script.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
            let before = Location { offset: mark as u64, ..Location::START }.after(&script[mark..start]);
            assert_eq!(*location, before, "the place is another one");
        }
    }
}

fn statements(parts: &[Part]) -> Vec<(&Location, &str, Class)> {
    let of = |part| match part {
        &Part::Statement(ref location, ref text, class) => Some((location, text.as_str(), class)),
        _ => None,
    };
    parts.iter().filter_map(of).collect()
}

fn is_found_again(rules: &Rules, script: &[u8], parts: &[Part]) {
    let statements = statements(parts);
    let Some((location, text, class)) = statements.last() else { return };
    let found = locate(rules, script, statements.len() as u64 - 1, |_| Take::Keep(Marking::Marked));
    let found = found.expect("it was read before").expect("it was there before");
    assert_eq!((&found.location, found.text.as_str(), found.class), (*location, *text, *class));
}

/// What the pieces of a script hold.
#[derive(Debug, Default, PartialEq)]
struct Sent {
    statements: Vec<String>,
    data: Vec<u8>,
    ends: usize,
    problem: Option<String>,
}

/// The statements that are kept are sent with their data, and no others.
fn is_sent(rules: &Rules, script: &[u8], parts: &[Part], is_kept: impl Fn(u64) -> bool) {
    let asked = Cell::new(0);
    let sent = send(rules, script, |index| {
        assert_eq!(index, asked.replace(index + 1), "a statement is asked for out of turn");
        if is_kept(index) { Take::Keep(Marking::Marked) } else { Take::LeaveOut }
    });
    let mut expected = Sent::default();
    let (mut index, mut kept) = (0, false);
    for part in parts {
        match part {
            Part::Statement(_, text, _) => {
                kept = is_kept(index);
                index += 1;
                expected.statements.extend(kept.then(|| text.clone()));
            }
            Part::Data(_, bytes) if kept => expected.data.extend(bytes),
            Part::End if kept => expected.ends += 1,
            Part::Data(..) | Part::End => {}
            Part::Problem(problem) => expected.problem = Some(problem.clone()),
        }
    }
    if expected.problem.is_none() {
        assert_eq!(asked.get(), index, "statements are passed over");
        return assert_eq!(sent, expected);
    }
    // What stood before the place of a problem may have been held back.
    assert_eq!(sent.problem, expected.problem);
    assert!(expected.statements.starts_with(&sent.statements) && expected.data.starts_with(&sent.data));
}

fn send(rules: &Rules, script: &[u8], mut take: impl FnMut(u64) -> Take) -> Sent {
    let mut pieces = Pieces::new(rules, script, |statement| take(statement.index));
    let mut sent = Sent::default();
    let mut rest = Rest::Follows;
    loop {
        let piece = match pieces.next_piece() {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                let nothing = sent == Sent::default();
                assert!(rest == Rest::Last || nothing, "the last piece did not say so");
                assert!(matches!(pieces.next_piece(), Ok(None)), "a piece after the last one");
                return sent;
            }
            Err(error) => {
                sent.problem = Some(problem(error));
                return sent;
            }
        };
        assert_eq!(rest, Rest::Follows, "a piece after the last one");
        rest = piece.rest;
        assert!(piece.text.len() <= LONGEST || piece.spans.len() == 1, "{} bytes at once", piece.text.len());
        match piece.kind {
            PieceKind::CopyData => sent.data.extend(piece.text),
            PieceKind::CopyEnd => sent.ends += 1,
            kind => {
                assert!(kind == PieceKind::Sql || piece.spans.len() == 1, "data belongs to one statement");
                let texts: Vec<&str> = piece
                    .spans
                    .iter()
                    .map(|span| piece.statement(span).expect("a span lies in its piece"))
                    .collect();
                // As a server would get it: whole statements, each with its delimiter, and nothing between them.
                let joined: String = texts.iter().map(|text| format!("{text};\n")).collect();
                assert_eq!(joined.as_bytes(), piece.text);
                sent.statements.extend(texts.into_iter().map(str::to_owned));
            }
        }
    }
}

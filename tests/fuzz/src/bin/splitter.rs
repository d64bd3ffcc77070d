//! Any bytes, under any rules: the splitter never panics, what it gives out stands in the input in order, and it does
//! not matter in which parts the input arrives.
//!
//! The first four bytes choose the features, the fifth where the input is cut.

#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use whimbrel::splitter::{Item, Rules, SplitError, Splitter};
use whimbrel_adapter_api::{Class, Feature, Lexer};

fuzz_target!(|input: &[u8]| {
    let Some((chosen, script)) = input.split_first_chunk::<5>() else {
        return;
    };
    let rules = rules(u32::from_le_bytes([chosen[0], chosen[1], chosen[2], chosen[3]]));
    let whole = split(&rules, script);
    check(script, &whole);
    let (before, after) = script.split_at(usize::from(chosen[4]).min(script.len()));
    assert_eq!(
        split(&rules, before.chain(after)),
        whole,
        "cut at {}",
        before.len()
    );
});

fn rules(chosen: u32) -> Rules {
    let features: Vec<_> = Feature::ALL
        .iter()
        .copied()
        .filter(|feature| chosen >> (feature.code() - 1) & 1 == 1)
        .collect();
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

/// What came out: place, bytes and what it was. Data that touches is one.
#[derive(Debug, PartialEq)]
enum Part {
    Statement(u64, Vec<u8>, Class),
    Data(u64, Vec<u8>),
    End,
    Problem(String),
}

fn split(rules: &Rules, reader: impl Read) -> Vec<Part> {
    let mut splitter = Splitter::new(rules, reader);
    let mut parts = Vec::new();
    loop {
        let part = match splitter.next_item() {
            Ok(None) => return parts,
            Ok(Some(Item::Statement(statement))) => {
                statement.words().for_each(drop);
                Part::Statement(statement.location.offset, statement.text.into(), statement.class)
            }
            Ok(Some(Item::CopyData { offset, bytes })) => match parts.last_mut() {
                Some(Part::Data(_, before)) => {
                    before.extend_from_slice(bytes);
                    continue;
                }
                _ => Part::Data(offset, bytes.to_vec()),
            },
            Ok(Some(_)) => Part::End,
            Err(SplitError::Script(problem)) => {
                parts.push(Part::Problem(format!(
                    "{:?} {:?}",
                    problem.kind, problem.location
                )));
                return parts;
            }
            Err(SplitError::Read(error)) => panic!("reading from memory failed: {error}"),
        };
        parts.push(part);
    }
}

fn check(script: &[u8], parts: &[Part]) {
    let mut end = 0;
    for part in parts {
        let (Part::Statement(offset, bytes, _) | Part::Data(offset, bytes)) = part else {
            continue;
        };
        let start = usize::try_from(*offset).expect("the script is in memory");
        assert!(start >= end, "parts overlap");
        end = start + bytes.len();
        assert_eq!(
            script.get(start..end),
            Some(bytes.as_slice()),
            "a part does not stand in the script"
        );
    }
}

//! Scripts of each engine with what they split into, and what holds for any script.

use std::io::{self, Read};

use proptest::prelude::*;
use whimbrel_adapter_api::{Class, Feature, Lexer, Marking, PieceKind, Rest};

use super::*;

fn rules(features: &[Feature], version: u32, patterns: &[(&str, Class)]) -> Rules {
    let mut lexer = Lexer::new(features, patterns);
    lexer.comment_version = version;
    Rules::new(&lexer).expect("the patterns of the tests are sound")
}

fn plain() -> Rules {
    rules(&[], 0, &[])
}

fn postgres() -> Rules {
    use Feature::*;
    rules(
        &[NestedComments, DollarQuotes, EscapeStrings, CopyData, BackslashCommands, AtomicBodies],
        0,
        &[
            ("COPY * [( ... )] FROM STDIN", Class::CopyFromStdin),
            ("\\RESTRICT|UNRESTRICT", Class::Skipped),
            ("BEGIN|START", Class::Begin),
            ("COMMIT|END", Class::Commit),
            ("CREATE [UNIQUE] INDEX CONCURRENTLY", Class::NoTransaction),
        ],
    )
}

fn maria() -> Rules {
    use Feature::*;
    rules(
        &[
            BackslashEscapes,
            DoubleQuotedStrings,
            BacktickNames,
            HashComments,
            DashesNeedSpace,
            ExecutableComments,
            MariaDbComments,
            DelimiterCommand,
            CompoundBodies,
        ],
        101_119,
        &[
            ("BEGIN NOT ATOMIC", Class::ImplicitCommit),
            ("BEGIN|START", Class::Begin),
            ("CREATE|ALTER|DROP", Class::ImplicitCommit),
            ("LOCK TABLES", Class::LockTables),
            ("UNLOCK TABLES", Class::UnlockTables),
            ("SELECT ... ROW_COUNT (", Class::ReadsPrevious),
        ],
    )
}

fn mysql() -> Rules {
    use Feature::*;
    rules(
        &[BacktickNames, HashComments, DashesNeedSpace, ExecutableComments, DelimiterCommand, CompoundBodies],
        80_036,
        &[],
    )
}

fn sqlite() -> Rules {
    use Feature::*;
    rules(
        &[BacktickNames, BracketNames, CompoundBodies],
        0,
        &[("BEGIN", Class::Begin), ("COMMIT|END", Class::Commit), ("PRAGMA FOREIGN_KEYS =", Class::Outside)],
    )
}

/// Gives a script in parts: the first of this length, then parts of the other.
struct Parts<'a> {
    rest: &'a [u8],
    next: usize,
    later: usize,
}

impl<'a> Parts<'a> {
    fn new(rest: &'a [u8], first: usize, later: usize) -> Self {
        Parts { rest, next: first, later }
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.next.min(buffer.len()).min(self.rest.len());
        let (part, rest) = self.rest.split_at(length);
        buffer[..length].copy_from_slice(part);
        self.rest = rest;
        self.next = self.later;
        Ok(length)
    }
}

/// A part of a script, owned. COPY data is one part however it was given out.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Statement { text: String, class: Class, location: Location, words: usize },
    Data { offset: u64, bytes: Vec<u8> },
    End,
    Problem(Problem),
}

fn split(rules: &Rules, reader: impl Read) -> Vec<Owned> {
    let mut splitter = Splitter::new(rules, reader);
    let mut parts = Vec::new();
    loop {
        let part = match splitter.next_item() {
            Ok(None) => return parts,
            Ok(Some(Item::Statement(statement))) => {
                let Statement { class, location, text, .. } = statement;
                let words = statement.words().count();
                Owned::Statement { text: text.to_owned(), class, location, words }
            }
            Ok(Some(Item::CopyData { offset, bytes })) => {
                assert!(bytes.len() <= 256 * 1024, "a part of the data is too long");
                if let Some(Owned::Data { bytes: before, .. }) = parts.last_mut() {
                    before.extend_from_slice(bytes);
                    continue;
                }
                Owned::Data { offset, bytes: bytes.to_vec() }
            }
            Ok(Some(Item::CopyEnd)) => Owned::End,
            Err(SplitError::Script(problem)) => {
                parts.push(Owned::Problem(problem));
                return parts;
            }
            Err(SplitError::Read(error)) => panic!("reading from memory failed: {error}"),
        };
        parts.push(part);
    }
}

fn shown(parts: &[Owned]) -> Vec<String> {
    let show = |part: &Owned| match part {
        Owned::Statement { text, class: Class::Plain, .. } => text.clone(),
        Owned::Statement { text, class, .. } => format!("{class:?}: {text}"),
        Owned::Data { bytes, .. } => format!("data: {}", String::from_utf8_lossy(bytes)),
        Owned::End => "end".to_owned(),
        Owned::Problem(problem) => format!("{:?} at {}", problem.kind, problem.location),
    };
    parts.iter().map(show).collect()
}

/// Checks what every script must fulfil, and returns its parts.
fn checked(rules: &Rules, script: &[u8]) -> Vec<Owned> {
    let parts = split(rules, script);
    let mut end = 0;
    for part in &parts {
        let (offset, bytes) = match part {
            Owned::Statement { text, location, .. } => {
                assert_eq!(Location::START.after(&script[..location.offset as usize]).line, location.line);
                (location.offset as usize, text.as_bytes())
            }
            Owned::Data { offset, bytes } => (*offset as usize, bytes.as_slice()),
            Owned::End | Owned::Problem(_) => continue,
        };
        assert!(offset >= end, "parts overlap");
        end = offset + bytes.len();
        assert_eq!(script.get(offset..end), Some(bytes), "a part is not what stands in the file");
    }
    parts
}

/// Checks a script however it arrives.
fn checked_in_parts(rules: &Rules, script: &[u8]) -> Vec<Owned> {
    let whole = checked(rules, script);
    for first in 1..=script.len() {
        let parts = split(rules, Parts::new(script, first, usize::MAX));
        assert_eq!(parts, whole, "cut at {first} of {:?}", String::from_utf8_lossy(script));
    }
    assert_eq!(split(rules, Parts::new(script, 1, 1)), whole, "byte by byte");
    whole
}

#[track_caller]
fn check(rules: &Rules, cases: &[(&str, &[&str])]) {
    for (script, expected) in cases {
        assert_eq!(shown(&checked_in_parts(rules, script.as_bytes())), *expected, "{script:?}");
    }
}

#[test]
fn without_features() {
    check(
        &plain(),
        &[
            ("", &[]),
            (" ;; ; -- a\n/* b; */;", &[]),
            ("a;b", &["a", "b"]),
            ("  a -- x;\n b /* ; */ ; -- c\n", &["a -- x;\n b"]),
            ("a /* x */ /* y */ -- z\n;b", &["a", "b"]),
            ("a -- x  \n   ;b", &["a", "b"]),
            ("/* a */ b /* c */ d", &["b /* c */ d"]),
            ("/* /* */ a */;", &["a */"]),
            ("'a;''b';c", &["'a;''b'", "c"]),
            ("'a\\';b", &["'a\\'", "b"]),
            ("\"a;\"\"b\";c", &["\"a;\"\"b\"", "c"]),
            ("$$a;b$$", &["$$a", "b$$"]),
            ("`a;b`", &["`a", "b`"]),
            ("a-b;--c;\r\nd/e*f;", &["a-b", "d/e*f"]),
            ("\u{feff}a;é;", &["a", "é"]),
            ("\u{feff}", &[]),
            ("create trigger t begin a; end;", &["create trigger t begin a", "end"]),
            ("\\a;b", &["\\a", "b"]),
            ("delimiter x;", &["delimiter x"]),
            ("a;'b", &["a", "UnterminatedString at 1:3"]),
            ("a;\n \"b", &["a", "UnterminatedName at 2:2"]),
            ("a /* b", &["UnterminatedComment at 1:3"]),
            ("é\n /* b\n c", &["UnterminatedComment at 2:2"]),
            ("/* b", &["UnterminatedComment at 1:1"]),
            ("/*a*/\n/* b\nc", &["UnterminatedComment at 2:1"]),
            ("a;\nb\0c;", &["a", "NulByte at 2:2"]),
            ("-- \0", &["NulByte at 1:4"]),
        ],
    );
}

#[test]
fn postgres_scripts() {
    check(
        &postgres(),
        &[
            ("/* a /* b; */ c; */ d;", &["d"]),
            ("$$a;$b$;$$;$x$a;$$b;$x$;c", &["$$a;$b$;$$", "$x$a;$$b;$x$", "c"]),
            ("a$b$;c$b$;", &["a$b$", "c$b$"]),
            ("$1$;$2;", &["$1$", "$2"]),
            ("$1a$;$1a$", &["$1a$", "$1a$"]),
            ("$é$a;$é$;b", &["$é$a;$é$", "b"]),
            ("$$a$$$$;b$$;c", &["$$a$$$$;b$$", "c"]),
            ("select 1 as a$$;b$$;c", &["select 1 as a$$", "b$$", "c"]),
            ("E'a\\';b';c", &["E'a\\';b'", "c"]),
            ("select e'a\\';b';c", &["select e'a\\';b'", "c"]),
            ("select 'a\\';b';c'", &["select 'a\\'", "b';c'"]),
            ("select type'a\\';b", &["select type'a\\'", "b"]),
            ("select E'a'\n 'b\\';c';d", &["select E'a'\n 'b\\';c'", "d"]),
            ("select E'a' 'b\\';c", &["select E'a' 'b\\'", "c"]),
            ("E'a''\\';b';c", &["E'a''\\';b'", "c"]),
            ("U&'\\';B'1';X'f'", &["U&'\\'", "B'1'", "X'f'"]),
            (
                "\\restrict abc;'\na;\\connect b\n",
                &["Skipped: \\restrict abc;'", "a", "ClientCommand: \\connect b"],
            ),
            ("a \\gexec\n;b", &["a \\gexec", "b"]),
            ("begin;end;", &["Begin: begin", "Commit: end"]),
            (
                "create /* x */ INDEX -- y\n concurrently i",
                &["NoTransaction: create /* x */ INDEX -- y\n concurrently i"],
            ),
            (
                "copy t from stdin;\n1\t';\n\\.\na;",
                &["CopyFromStdin: copy t from stdin", "data: 1\t';\n", "end", "a"],
            ),
            (
                "copy a.\"b c\" (d, e) from stdin with csv; -- x\n\\.\n",
                &["CopyFromStdin: copy a.\"b c\" (d, e) from stdin with csv", "end"],
            ),
            (
                "copy t from stdin;\r\n\\.x\r\n\\\n\\.\r\na",
                &["CopyFromStdin: copy t from stdin", "data: \\.x\r\n\\\n", "end", "a"],
            ),
            ("copy t from stdin;\na\\.\n\\.", &["CopyFromStdin: copy t from stdin", "data: a\\.\n", "end"]),
            (
                "x;copy t from stdin;\na\nb",
                &["x", "CopyFromStdin: copy t from stdin", "data: a\nb", "UnterminatedCopyData at 1:3"],
            ),
            (
                "copy t from stdin; a\n\\.",
                &["CopyFromStdin: copy t from stdin", "TextBeforeCopyData at 1:20"],
            ),
            ("copy t from 'x';a", &["copy t from 'x'", "a"]),
            (
                "create function f() returns int begin atomic select 1; select case when a then 2 end; end; a",
                &[
                    "create function f() returns int begin atomic select 1; select case when a then 2 end; end",
                    "a",
                ],
            ),
            (
                "create or replace procedure p() begin atomic end;a",
                &["create or replace procedure p() begin atomic end", "a"],
            ),
            (
                "create function f() as $$begin atomic a;$$;b",
                &["create function f() as $$begin atomic a;$$", "b"],
            ),
            (
                "create rule r as on insert to t do also (a; b(c);); d",
                &["create rule r as on insert to t do also (a; b(c);)", "d"],
            ),
            ("create table t (a int;b", &["create table t (a int", "b"]),
            ("create function f()\nbegin atomic select 1;", &["UnterminatedBody at 2:7"]),
            ("a;\n$x$b$$", &["a", "UnterminatedDollarQuote at 2:1"]),
        ],
    );
}

#[test]
fn mariadb_scripts() {
    check(
        &maria(),
        &[
            ("'a\\';b';c", &["'a\\';b'", "c"]),
            ("\"a\\\";b\";`a\\`;`b``;`", &["\"a\\\";b\"", "`a\\`", "`b``;`"]),
            ("a # b;\n;c", &["a", "c"]),
            ("a--1;b -- c;\n--\n;--", &["a--1", "b"]),
            ("/*!40101 SET NAMES utf8 */;a", &["/*!40101 SET NAMES utf8 */", "a"]),
            ("/*! CREATE TABLE t */;", &["ImplicitCommit: /*! CREATE TABLE t */"]),
            ("/*!999999 a; */;/*!80000 b */;/*M!80000 c */;", &["/*M!80000 c */"]),
            ("/*!999999\\- enable the sandbox mode */\na;", &["a"]),
            ("a /*!200000 b /* c; */ d; */ e;", &["a /*!200000 b /* c; */ d; */ e"]),
            ("/*!50003 a; b */;c", &["/*!50003 a; b */", "c"]),
            ("/*!50003 a /*! b */ c; */;d", &["/*!50003 a /*! b */ c; */", "d"]),
            ("/*!50003 a", &["UnterminatedComment at 1:1"]),
            ("/*+ x */ select /*+ y */ 1", &["select /*+ y */ 1"]),
            (
                "select row_count();select a.row_count",
                &["ReadsPrevious: select row_count()", "select a.row_count"],
            ),
            ("DELIMITER //\na; b//\n delimiter ; \nc;", &["a; b", "c"]),
            (
                "delimiter $$\nbegin$$ select `a$$`$$\ndelimiter ;;\na;b;;c",
                &["Begin: begin", "select `a$$`", "a;b", "c"],
            ),
            ("delimiter go\nalgo go a\ngo", &["algo", "a"]),
            (
                "delimiter //\ncreate trigger t on a for each row begin b; end//c;d",
                &["ImplicitCommit: create trigger t on a for each row begin b; end", "c;d"],
            ),
            ("a;delimiter", &["a", "DelimiterMissing at 1:3"]),
            (
                "begin;begin not atomic a; end;b",
                &["Begin: begin", "ImplicitCommit: begin not atomic a; end", "b"],
            ),
            ("if a then b; end if; c", &["if a then b; end if", "c"]),
            ("for i in 1..2 do a; end for; c", &["for i in 1..2 do a; end for", "c"]),
        ],
    );
    assert_eq!(
        shown(&checked_in_parts(
            &mysql(),
            b"\"a\\\";\"b\";'a\\';b;/*!80036 c */;/*!080037 d */;/*M! e */;if(a;b"
        )),
        ["\"a\\\"", "\"b\"", "'a\\'", "b", "/*!80036 c */", "if(a", "b"]
    );
}

/// Each is one statement, whatever stands behind it.
#[test]
fn compound_bodies_are_one_statement() {
    let bodies = [
        "create trigger t before insert on x for each row set new.a = 1",
        "create trigger t after insert on d.x for each row follows u begin a; end",
        "create trigger t after insert on x for each row precedes u.v if a then b; else c; end if",
        "create trigger t after insert on x for each row if a then b; elseif c then d; else e; end if",
        "create definer=`a`@`%` procedure p() begin end",
        "create definer=current_user() procedure p() begin a; begin b; end; c; end",
        "create or replace definer = 'trigger'@'end' function f(a int) returns int deterministic return a",
        "create function f(a enum('x', 'y')) returns varchar(20) charset utf8 comment 'begin' begin return a; end",
        "create function f() returns int return case when a then b else c end",
        "create function f returns string soname 'begin.so'",
        "create aggregate function f(x int) returns int begin loop fetch group next row; end loop; end",
        "create procedure if not exists p() select if(a, b, c)",
        "create procedure p() sql security invoker no sql select case a when b then c end",
        "create procedure p(in a int) not deterministic comment 'x' l: begin leave l; end l",
        "create procedure p() begin l: loop a; leave l; end loop l; end",
        "create procedure p() begin `l`: while a do b; end while; end",
        "create procedure p() begin repeat a; until b end repeat; end",
        "create procedure p() begin repeat a; until case when b then c end end repeat; d; end",
        "create procedure p() begin case a when b then c; else d; end case; e; end",
        "create procedure p() begin case when case a when b then c end then d; end case; end",
        "create procedure p() begin if case a when b then c end = d then e; end if; end",
        "create procedure p() begin select if(a, b, c), repeat('x', 2), t.end from t; end",
        "create procedure p() begin select 1 as end; select end from t; update t set begin = 1; end",
        "create procedure p() begin declare continue handler for not found set a = 1; b; end",
        "create procedure p() begin declare exit handler for sqlstate value '2', 1062 begin a; b; end; c; end",
        "create procedure p() begin declare exit handler for sqlexception if a then b; end if; c; end",
        "create procedure p() begin declare c cursor for select a from b for update; open c; end",
        "create procedure p() begin for r in (select a from b) do c; end for; end",
        "create procedure p() begin if a then if b then c; end if; else begin d; end; end if; end",
        "create procedure p() begin start transaction; a; commit; end",
        "create procedure p() begin drop table if exists a; do sleep(1); end",
        "create event e on schedule every 1 day do a",
        "create event if not exists e on schedule at now() comment 'do' do begin a; end",
        "alter event e do begin a; b; end",
        "/*!50003 create*/ /*!50017 definer=`r`@`l`*/ /*!50003 trigger t before insert on x for each row begin a; end */",
    ];
    for body in bodies {
        let script = format!("{body}; x");
        assert_eq!(shown(&checked_in_parts(&maria(), script.as_bytes()))[1..], ["x"], "{body}");
    }
    check(
        &maria(),
        &[
            ("create table t (a int); end", &["ImplicitCommit: create table t (a int)", "end"]),
            (
                "create view v as select 1; begin",
                &["ImplicitCommit: create view v as select 1", "Begin: begin"],
            ),
            ("\n create procedure p() begin if a then b; end;", &["UnterminatedBody at 2:23"]),
        ],
    );
}

#[test]
fn sqlite_scripts() {
    check(
        &sqlite(),
        &[
            ("[a;]];`b;`;\"c;\"", &["[a;]]", "`b;`", "\"c;\""]),
            ("begin; a; end; b", &["Begin: begin", "a", "Commit: end", "b"]),
            (
                "PRAGMA foreign_keys=off;pragma foreign_keys;",
                &["Outside: PRAGMA foreign_keys=off", "pragma foreign_keys"],
            ),
            (
                "create trigger t after update of begin on x begin select 1; end; a",
                &["create trigger t after update of begin on x begin select 1; end", "a"],
            ),
            (
                "create temp trigger if not exists t on begin begin a; b; end; c",
                &["create temp trigger if not exists t on begin begin a; b; end", "c"],
            ),
            (
                "create trigger t on x when case a when b then c end begin select case when d then e else f end; end;a",
                &[
                    "create trigger t on x when case a when b then c end begin select case when d then e else f end; end",
                    "a",
                ],
            ),
            (
                "create trigger t on x for each row when a begin replace into b values (1); end;c",
                &["create trigger t on x for each row when a begin replace into b values (1); end", "c"],
            ),
            (
                "create trigger t on x begin select end, x.end from y; end",
                &["create trigger t on x begin select end, x.end from y; end"],
            ),
            ("create trigger t on x\nbegin a;", &["UnterminatedBody at 2:1"]),
        ],
    );
}

#[test]
fn a_pg_dump_is_split() {
    let dump = "--\n-- PostgreSQL database dump\n--\n\n\\restrict Xy0\n\nSET statement_timeout = 0;\n\
        SELECT pg_catalog.set_config('search_path', '', false);\n\n\
        CREATE FUNCTION public.handle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $_$\nbegin\n  \
        execute $sql$ insert into a values ('$$;'); $sql$;\n  return new;\nend;\n$_$;\n\n\
        COPY public.t (id, name) FROM stdin;\n1\tit's; $_$\n2\t\\N\n\\.\n\n\n\
        SELECT pg_catalog.setval('public.t_id_seq', 2, true);\n\n\\unrestrict Xy0\n\n";
    let parts = checked_in_parts(&postgres(), dump.as_bytes());
    let shown = shown(&parts);
    assert_eq!(shown.len(), 9, "{shown:#?}");
    assert_eq!(shown[0], "Skipped: \\restrict Xy0");
    assert!(shown[3].ends_with("return new;\nend;\n$_$"), "{}", shown[3]);
    assert_eq!(shown[5], "data: 1\tit's; $_$\n2\t\\N\n");
    assert_eq!(shown[7], "SELECT pg_catalog.setval('public.t_id_seq', 2, true)".to_owned());
}

#[test]
fn a_mysqldump_is_split() {
    let dump = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n\n\
        /*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\n\
        DROP TABLE IF EXISTS `t`;\nLOCK TABLES `t` WRITE;\n/*!40000 ALTER TABLE `t` DISABLE KEYS */;\n\
        INSERT INTO `t` VALUES (1,'it\\'s; -- no\\\\'),(2,'/*');\n/*!40000 ALTER TABLE `t` ENABLE KEYS */;\n\
        UNLOCK TABLES;\nDELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`l`*/ /*!50003 TRIGGER b BEFORE INSERT \
        ON t FOR EACH ROW BEGIN\n  SET NEW.a = 1;\nEND */;;\nDELIMITER ;\n/*!40101 SET a=1 */;\n";
    let shown = shown(&checked_in_parts(&maria(), dump.as_bytes()));
    assert_eq!(shown.len(), 9, "{shown:#?}");
    assert_eq!(shown[2], "LockTables: LOCK TABLES `t` WRITE");
    assert_eq!(shown[3], "ImplicitCommit: /*!40000 ALTER TABLE `t` DISABLE KEYS */");
    assert_eq!(shown[6], "UnlockTables: UNLOCK TABLES");
    assert!(shown[7].starts_with("ImplicitCommit: /*!50003 CREATE*/") && shown[7].ends_with("END */"));
}

#[test]
fn bytes_that_are_no_utf8_are_refused_outside_data_only() {
    let script = b"a;\ncopy t from stdin;\n\xff\0\n\\.\nb\xc3;";
    let shown = shown(&checked_in_parts(&postgres(), script));
    assert_eq!(shown[3..], ["end", "InvalidUtf8 at 5:2"]);
    // Two problems in one comment: which is told must not depend on the parts in which it arrives.
    let parts = checked_in_parts(&maria(), b"/* SET N\x07\xb8O\xb0");
    assert!(
        matches!(parts[..], [Owned::Problem(Problem { kind: ProblemKind::InvalidUtf8, .. })]),
        "{parts:?}"
    );
}

#[test]
fn places_are_counted_in_lines_and_characters() {
    let parts = checked_in_parts(&plain(), "\u{feff}é;\r\n\n  'ü\n' ; ab;".as_bytes());
    let places: Vec<_> = parts
        .iter()
        .map(|part| match part {
            Owned::Statement { location, .. } => (location.offset, location.line, location.column),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(places, [(3, 1, 1), (11, 3, 3), (19, 4, 5)]);
}

#[test]
fn words_are_names_and_keywords() {
    let mut splitter =
        Splitter::new(&maria(), "insert into `a``b`.c /* d */ values ('e', \"f\", 1.5e3)".as_bytes());
    let Ok(Some(Item::Statement(statement))) = splitter.next_item() else { panic!("no statement") };
    let words: Vec<_> = statement.words().map(|word| (word.text, word.form)).collect();
    let bare = |text| (text, Form::Bare);
    let expected = [
        bare("insert"),
        bare("into"),
        ("a``b", Form::Quoted),
        bare("c"),
        bare("values"),
        bare("1"),
        bare("5e3"),
    ];
    assert_eq!(words, expected);
}

/// What a piece holds, for comparison.
type Shown = (PieceKind, Rest, String, Vec<String>);

fn pieces(rules: &Rules, script: &str) -> Vec<Shown> {
    let take = |statement: &Statement<'_>| match statement.class {
        Class::Begin | Class::Commit | Class::Skipped => Take::LeaveOut,
        _ if statement.text.starts_with("copy left") => Take::LeaveOut,
        _ => Take::Keep(Marking::Marked),
    };
    let mut pieces = Pieces::new(rules, script.as_bytes(), take);
    let mut shown = Vec::new();
    while let Some(piece) = pieces.next_piece().expect("the script is sound") {
        let text = String::from_utf8_lossy(piece.text).into_owned();
        let statement = |span| piece.statement(span).expect("spans lie in the piece").to_owned();
        shown.push((piece.kind, piece.rest, text, piece.spans.iter().map(statement).collect()));
    }
    shown
}

#[test]
fn pieces_hold_what_is_kept() {
    let shown = pieces(&postgres(), "\\restrict x\nbegin; a -- b\n; ; c /* d */; commit;");
    let expected = (PieceKind::Sql, Rest::Last, "a;\nc;\n".to_owned(), vec!["a".to_owned(), "c".to_owned()]);
    assert_eq!(shown, [expected]);
    assert_eq!(pieces(&postgres(), "begin; /* nothing */; commit;"), []);
}

#[test]
fn copy_data_travels_in_pieces_of_its_own() {
    let script = "a;copy t from stdin;\n1\n\\.\ncopy left from stdin;\n2\n\\.\ncopy u from stdin;\n\\.\n--";
    let shown: Vec<_> =
        pieces(&postgres(), script).into_iter().map(|piece| (piece.0, piece.1, piece.2)).collect();
    let piece = |kind, rest, text: &str| (kind, rest, text.to_owned());
    assert_eq!(
        shown,
        [
            piece(PieceKind::Sql, Rest::Follows, "a;\n"),
            piece(PieceKind::CopyStart, Rest::Follows, "copy t from stdin;\n"),
            piece(PieceKind::CopyData, Rest::Follows, "1\n"),
            piece(PieceKind::CopyEnd, Rest::Follows, ""),
            piece(PieceKind::CopyStart, Rest::Follows, "copy u from stdin;\n"),
            piece(PieceKind::CopyEnd, Rest::Last, ""),
        ]
    );
}

#[test]
fn a_piece_is_at_most_256_kib_or_one_statement() {
    let small = format!("insert into t values ('{}')", "x".repeat(1000));
    let large = format!("insert into t values ('{}')", "y".repeat(700_000));
    let script = format!("{}{large};{}", format!("{small};").repeat(400), format!("{small};").repeat(400));
    let shown = pieces(&plain(), &script);
    let statements: Vec<_> = shown.iter().flat_map(|piece| &piece.3).collect();
    assert_eq!(statements.len(), 801);
    assert_eq!(*statements[400], large);
    let (last, others) = shown.split_last().expect("there are pieces");
    assert_eq!(last.1, Rest::Last);
    for (_, rest, text, spans) in others {
        assert_eq!(*rest, Rest::Follows);
        assert!(text.len() <= 256 * 1024 || spans.len() == 1, "{} bytes", text.len());
    }
    assert_eq!(shown.len(), 5);
}

#[test]
fn a_failing_statement_is_located() {
    let take = |statement: &Statement<'_>| match statement.class {
        Class::Begin => Take::LeaveOut,
        _ => Take::Keep(Marking::Marked),
    };
    let script = "begin;\na;\n\n  select\n   é x;\nc;";
    let located = locate(&postgres(), script.as_bytes(), 1, take).expect("the script is sound");
    let located = located.expect("there is a second statement");
    assert_eq!((located.text.as_str(), located.location.line), ("select\n   é x", 4));
    assert_eq!(located.place(13), Location { offset: 26, line: 5, column: 6 });
    assert_eq!(located.place(1000).line, 5);
    assert_eq!(locate(&postgres(), script.as_bytes(), 3, take).expect("the script is sound"), None);
}

/// A token that could go on must not be read again with every part that arrives.
#[test]
fn hostile_scripts_take_linear_time() {
    const SIZE: usize = 1 << 20;
    let begin = "begin ".repeat(SIZE / 6);
    for (name, script) in [
        ("quotes", "'".repeat(SIZE)),
        ("comments", "/*".repeat(SIZE / 2)),
        ("a word", "x".repeat(SIZE)),
        ("a tag", format!("${}", "x".repeat(SIZE))),
        ("tags", "$a".repeat(SIZE / 2)),
        ("dollars", "$".repeat(SIZE)),
        ("slashes", "/".repeat(SIZE)),
        ("dashes", "--\n".repeat(SIZE / 3)),
        ("escape string", format!("E'a' {}", "'' ".repeat(SIZE / 3))),
        ("white space", format!("a{}", " ".repeat(SIZE))),
        ("spaced comments", format!("a{}", " /**/".repeat(SIZE / 5))),
        ("body", format!("create procedure p() {begin}")),
        ("handler", format!("create procedure p() begin declare exit handler for {}", "a,".repeat(SIZE / 2))),
        ("line breaks in data", format!("copy t from stdin;\n{}", "\n\\".repeat(SIZE / 2))),
        ("a line for the client", format!("\\{}", "x".repeat(SIZE))),
        ("labels", format!("create procedure p() begin {}", "a:".repeat(SIZE / 2))),
    ] {
        for rules in [plain(), postgres(), maria(), sqlite()] {
            // Parts of 256 bytes: whoever reads from the start with every part has to read 2 GiB.
            let began = std::time::Instant::now();
            split(&rules, Parts::new(script.as_bytes(), 256, 256));
            assert!(began.elapsed().as_secs() < 10, "{name} took {:?}", began.elapsed());
        }
    }
}

fn soup() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "'",
        "''",
        "\"",
        "`",
        "[",
        "]",
        "$$",
        "$a$",
        "$",
        "a",
        "e",
        "E'",
        "\\",
        "\\.",
        "\n",
        "\r\n",
        " ",
        ";",
        ";;",
        "--",
        "-- ",
        "#",
        "/*",
        "*/",
        "/*!",
        "/*!50003 ",
        "/*!99999",
        "/*M!",
        "(",
        ")",
        ",",
        ":",
        ".",
        "=",
        "é",
        "\0",
        "DELIMITER ",
        "DELIMITER //\n",
        "//",
        "DELIMITER ;\n",
        "create ",
        "trigger ",
        "procedure p()",
        "function ",
        "on t ",
        "for each row ",
        "begin ",
        "end ",
        "atomic ",
        "not ",
        "case ",
        "when ",
        "then ",
        "if ",
        "loop ",
        "repeat ",
        "until ",
        "while ",
        "do ",
        "declare ",
        "handler ",
        "as ",
        "rule ",
        "copy t from stdin;\n",
        "\n\\.\n",
        "\\restrict x\n",
        "1",
        "\u{feff}",
        "event ",
        "return ",
    ]);
    prop::collection::vec(words, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_soup_is_split_alike_however_it_arrives(script in soup(), engine in 0_usize..5) {
        let rules = [plain, postgres, maria, mysql, sqlite][engine]();
        for part in checked_in_parts(&rules, script.as_bytes()) {
            // Where `;` delimits, a statement alone is itself. But at the start of a file a byte order mark is none of
            // it, and at its end dashes are a comment that none were before `;`.
            let alone = |text: &str| {
                !script.contains("DELIMITER") && !text.starts_with('\u{feff}') && !text.ends_with("--")
            };
            if let Owned::Statement { text, location, .. } = part && alone(&text) {
                prop_assert!(location.offset < script.len() as u64);
                let again = split(&rules, text.as_bytes());
                prop_assert!(matches!(&again[0], Owned::Statement { text: same, .. } if *same == text), "{text:?}: {again:?}");
            }
        }
    }

    #[test]
    fn any_bytes_are_split_alike_however_they_arrive(script in prop::collection::vec(any::<u8>(), 0..60)) {
        for rules in [postgres(), maria()] {
            checked_in_parts(&rules, &script);
        }
    }
}

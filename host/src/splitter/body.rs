//! Knows when a `;` does not end a statement, because it stands in a body.
//!
//! Bodies are those of routines, triggers and events (`BEGIN … END` with statements inside, and the blocks of
//! MySQL's language), SQL functions of Postgres (`BEGIN ATOMIC … END`) and the list in parentheses of its CREATE RULE.
//! It hears of every token of a statement, and says soon when the statement has none of these, which is nearly always.
//!
//! It is no parser. What keeps it right in a body that uses `end` or `if` as names without quotes:
//! blocks open and close only where a statement can begin, a word behind a dot or AS is a name, and a CASE expression
//! never reaches over a `;`. A bare column `end` inside a CASE expression is beyond it: quote such a name, or use
//! DELIMITER, which switches all of this off.

use whimbrel_adapter_api::Feature;

use super::lexer::{Features, Token};

/// How a statement stands with regard to bodies.
#[derive(Debug)]
pub(super) struct Body {
    features: Features,
    stage: Stage,
    blocks: Vec<Block>,
    /// Open parentheses of a head or a rule.
    parentheses: u32,
    place: Place,
    handler: Handler,
    previous: Previous,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No token yet.
    Fresh,
    /// No body can follow.
    Ordinary,
    /// Behind CREATE or ALTER.
    Create,
    /// Behind a BEGIN that may be one of MariaDB's anonymous blocks.
    Begin,
    BeginNot,
    /// In front of the parameters, among them, and behind them.
    Name(Routine),
    Parameters(Routine),
    Head(Routine),
    EventHead,
    /// In front of ON.
    TriggerHead,
    /// Behind ON: the table's name follows, or another part of it.
    TriggerOn,
    TriggerTable,
    /// Behind FOR EACH ROW.
    TriggerRow,
    /// Behind FOLLOWS or PRECEDES.
    TriggerOrder,
    TriggerWhen,
    /// In front of BEGIN ATOMIC, and between the two words.
    AtomicHead,
    AtomicBegin,
    Rule,
    Inside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Routine {
    Procedure,
    Function,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Begin,
    If,
    Loop,
    Repeat,
    /// Behind UNTIL, up to END REPEAT.
    Until,
    /// WHILE or FOR in front of its DO, and behind it.
    WhileHead,
    While,
    /// A CASE with statements.
    Case,
    CaseExpression,
}

/// What can stand at a place of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The first word of a statement.
    Start,
    /// The colon that makes that word a label.
    Label,
    /// The name or keyword behind END.
    Closed,
    Middle,
}

/// How far `DECLARE … HANDLER FOR condition, … statement` has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handler {
    None,
    Declared,
    Named,
    Condition,
    /// A comma or the statement follows.
    Complete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Previous {
    /// Makes the next word a name.
    Dot,
    As,
    /// Makes the next word a part of a DEFINER clause.
    Definer,
    Other,
}

impl Body {
    pub(super) fn new(features: Features) -> Self {
        Body {
            features,
            stage: Stage::Fresh,
            blocks: Vec::new(),
            parentheses: 0,
            place: Place::Middle,
            handler: Handler::None,
            previous: Previous::Other,
        }
    }

    /// Begins a statement that may have a body.
    pub(super) fn reset(&mut self) {
        self.stage = Stage::Fresh;
        self.blocks.clear();
        self.parentheses = 0;
        self.place = Place::Middle;
        self.handler = Handler::None;
        self.previous = Previous::Other;
    }

    /// Begins a statement of which only the delimiter says where it ends.
    pub(super) fn disable(&mut self) {
        self.stage = Stage::Ordinary;
    }

    /// Returns whether it must hear of more tokens.
    pub(super) fn is_open(&self) -> bool {
        self.stage != Stage::Ordinary
    }

    /// Returns whether a block or a list is open that a `;` does not end.
    pub(super) fn holds(&self) -> bool {
        self.parentheses > 0 && self.stage == Stage::Rule
            || self.blocks.iter().any(|block| *block != Block::CaseExpression)
    }

    /// Takes a `;` and returns whether it stands inside the statement.
    pub(super) fn semicolon(&mut self) -> bool {
        while self.blocks.last() == Some(&Block::CaseExpression) {
            self.blocks.pop();
        }
        self.place = Place::Start;
        self.handler = Handler::None;
        self.previous = Previous::Other;
        !self.blocks.is_empty() || self.stage == Stage::Rule && self.parentheses > 0
    }

    /// Takes the next token of the statement.
    pub(super) fn token(&mut self, token: Token<'_>) {
        match self.stage {
            Stage::Ordinary => return,
            Stage::Inside => self.inside(token),
            _ => self.stage = self.head(token),
        }
        self.previous = match token {
            Token::Punctuation(b'.') => Previous::Dot,
            Token::Punctuation(b'=' | b'@') => Previous::Definer,
            Token::Word(word) if word.eq_ignore_ascii_case(b"AS") => Previous::As,
            _ => Previous::Other,
        };
    }

    fn head(&mut self, token: Token<'_>) -> Stage {
        let word = keyword(token);
        match (self.stage, word, token) {
            (Stage::Fresh, _, _) => self.first(word),
            (Stage::Create, _, _) => self.created(word, token),

            (Stage::Begin, Some(Keyword::Not), _) => Stage::BeginNot,
            (Stage::BeginNot, Some(Keyword::Atomic), _) => self.open(Block::Begin, Place::Start),
            (Stage::Begin | Stage::BeginNot, _, _) => Stage::Ordinary,

            (Stage::Name(routine), _, Token::Punctuation(b'(')) | (Stage::Parameters(routine), _, _) => {
                self.count_parenthesis(token);
                if self.parentheses == 0 { Stage::Head(routine) } else { Stage::Parameters(routine) }
            }
            (Stage::Head(Routine::Procedure), _, Token::Word(word)) if is_characteristic(word) => self.stage,
            (Stage::Head(Routine::Procedure), _, Token::Word(_) | Token::Name) => self.enter(token),
            (Stage::Head(Routine::Function), Some(word), _) if word.begins_function_body() => {
                self.enter(token)
            }
            (Stage::EventHead, Some(Keyword::Do), _) => {
                self.place = Place::Start;
                Stage::Inside
            }

            (Stage::TriggerHead, Some(Keyword::On), _) => Stage::TriggerOn,
            (Stage::TriggerOn, _, _) => Stage::TriggerTable,
            (Stage::TriggerTable, _, Token::Punctuation(b'.')) => Stage::TriggerOn,
            (Stage::TriggerTable, Some(Keyword::Row), _) => Stage::TriggerRow,
            (Stage::TriggerTable | Stage::TriggerRow, Some(Keyword::When), _) => Stage::TriggerWhen,
            (Stage::TriggerTable, Some(Keyword::Begin), _) => self.open(Block::Begin, Place::Start),
            (Stage::TriggerRow, Some(Keyword::Follows | Keyword::Precedes), _) => Stage::TriggerOrder,
            (Stage::TriggerRow, _, Token::Punctuation(b'.')) => Stage::TriggerOrder,
            (Stage::TriggerRow, _, _) => self.enter(token),
            (Stage::TriggerOrder, _, _) => Stage::TriggerRow,
            (Stage::TriggerWhen, Some(word), _) if self.previous == Previous::Other => self.condition(word),

            (Stage::AtomicHead, Some(Keyword::Begin), _) => Stage::AtomicBegin,
            (Stage::AtomicBegin, Some(Keyword::Atomic), _) => self.open(Block::Begin, Place::Start),
            (Stage::AtomicBegin, _, _) => Stage::AtomicHead,
            (Stage::Rule, _, _) => {
                self.count_parenthesis(token);
                Stage::Rule
            }
            (stage, _, _) => stage,
        }
    }

    fn first(&mut self, word: Option<Keyword>) -> Stage {
        let compound = self.features.has(Feature::CompoundBodies);
        let maria = compound && self.features.has(Feature::MariaDbComments);
        match word {
            Some(Keyword::Create) if compound || self.features.has(Feature::AtomicBodies) => Stage::Create,
            Some(Keyword::Alter) if compound => Stage::Create,
            Some(Keyword::Begin) if compound => Stage::Begin,
            Some(Keyword::If) if maria => self.open(Block::If, Place::Middle),
            Some(Keyword::Case) if maria => self.open(Block::Case, Place::Middle),
            Some(Keyword::Loop) if maria => self.open(Block::Loop, Place::Start),
            Some(Keyword::Repeat) if maria => self.open(Block::Repeat, Place::Start),
            Some(Keyword::While | Keyword::For) if maria => self.open(Block::WhileHead, Place::Middle),
            _ => Stage::Ordinary,
        }
    }

    fn created(&mut self, word: Option<Keyword>, token: Token<'_>) -> Stage {
        let compound = self.features.has(Feature::CompoundBodies);
        if self.previous == Previous::Definer {
            return Stage::Create;
        }
        match (word, token) {
            (Some(Keyword::Procedure | Keyword::Function), _) if !compound => Stage::AtomicHead,
            (Some(Keyword::Rule), _) if !compound => Stage::Rule,
            (Some(Keyword::Procedure), _) => Stage::Name(Routine::Procedure),
            (Some(Keyword::Function), _) => Stage::Name(Routine::Function),
            (Some(Keyword::Trigger), _) if compound => Stage::TriggerHead,
            (Some(Keyword::Event), _) if compound => Stage::EventHead,
            (Some(Keyword::Definition), _) | (None, Token::Punctuation(_)) => Stage::Create,
            _ => Stage::Ordinary,
        }
    }

    fn count_parenthesis(&mut self, token: Token<'_>) {
        match token {
            Token::Punctuation(b'(') => self.parentheses = self.parentheses.saturating_add(1),
            Token::Punctuation(b')') => self.parentheses = self.parentheses.saturating_sub(1),
            _ => {}
        }
    }

    /// Takes a word of a trigger's WHEN, which may hold CASE expressions.
    fn condition(&mut self, word: Keyword) -> Stage {
        match word {
            Keyword::Case => self.blocks.push(Block::CaseExpression),
            Keyword::End => drop(self.blocks.pop()),
            Keyword::Begin if self.blocks.is_empty() => return self.open(Block::Begin, Place::Start),
            _ => {}
        }
        Stage::TriggerWhen
    }

    /// Takes the first token of a body.
    fn enter(&mut self, token: Token<'_>) -> Stage {
        self.place = Place::Start;
        self.inside(token);
        Stage::Inside
    }

    fn open(&mut self, block: Block, place: Place) -> Stage {
        self.blocks.push(block);
        self.place = place;
        Stage::Inside
    }

    fn inside(&mut self, token: Token<'_>) {
        let place = std::mem::replace(&mut self.place, Place::Middle);
        match token {
            Token::Word(_) if matches!(self.previous, Previous::Dot | Previous::As) => {}
            Token::Word(_) if place == Place::Closed => {}
            Token::Word(_) => {
                let word = keyword(token);
                let place = self.handler(word, place);
                match word {
                    Some(word) => self.word(word, place),
                    None if place == Place::Start => self.place = Place::Label,
                    None => {}
                }
            }
            Token::Name | Token::Text if self.handler == Handler::Condition => {
                self.handler = Handler::Complete
            }
            Token::Name if place == Place::Start => self.place = Place::Label,
            Token::Punctuation(b':') if place == Place::Label => self.place = Place::Start,
            Token::Punctuation(b',') if self.handler == Handler::Complete => {
                self.handler = Handler::Condition
            }
            _ => {}
        }
    }

    /// Follows the declaration of a handler, and returns whether a statement begins with this word.
    fn handler(&mut self, word: Option<Keyword>, place: Place) -> Place {
        let (next, place) = match (self.handler, word) {
            (_, Some(Keyword::Declare)) if place == Place::Start => (Handler::Declared, place),
            (Handler::Declared, Some(Keyword::Handler)) => (Handler::Named, place),
            (Handler::Named, Some(Keyword::For)) => (Handler::Condition, place),
            (Handler::Condition, Some(Keyword::Not | Keyword::State)) => (Handler::Condition, place),
            (Handler::Condition, _) => (Handler::Complete, place),
            (Handler::Complete, _) => (Handler::None, Place::Start),
            (handler, _) => (handler, place),
        };
        self.handler = next;
        place
    }

    fn word(&mut self, word: Keyword, place: Place) {
        let starts = place == Place::Start;
        let top = self.blocks.last().copied();
        match (word, top) {
            (Keyword::Begin, _) if starts => drop(self.open(Block::Begin, Place::Start)),
            (Keyword::If, _) if starts => self.blocks.push(Block::If),
            (Keyword::Loop, _) if starts => drop(self.open(Block::Loop, Place::Start)),
            (Keyword::Repeat, _) if starts => drop(self.open(Block::Repeat, Place::Start)),
            (Keyword::While | Keyword::For, _) if starts => self.blocks.push(Block::WhileHead),
            (Keyword::Case, _) if starts => self.blocks.push(Block::Case),
            (Keyword::Case, _) => self.blocks.push(Block::CaseExpression),
            (Keyword::Until, Some(Block::Repeat)) if starts => self.replace_top(Block::Until),
            (Keyword::Then | Keyword::Else, Some(Block::If | Block::Case)) => self.place = Place::Start,
            (Keyword::Do, Some(Block::WhileHead)) => {
                self.replace_top(Block::While);
                self.place = Place::Start;
            }
            (Keyword::End, Some(Block::CaseExpression)) => drop(self.blocks.pop()),
            (Keyword::End, Some(top)) if starts || top == Block::Until => {
                self.blocks.pop();
                self.place = Place::Closed;
            }
            _ => {}
        }
    }

    fn replace_top(&mut self, block: Block) {
        self.blocks.pop();
        self.blocks.push(block);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keyword {
    Alter,
    Atomic,
    Begin,
    Case,
    Create,
    Declare,
    /// What may stand between CREATE and the kind of a routine.
    Definition,
    Do,
    Else,
    End,
    Event,
    Follows,
    For,
    Function,
    Handler,
    If,
    Loop,
    Not,
    On,
    Precedes,
    Procedure,
    Repeat,
    Return,
    Row,
    Rule,
    /// SQLSTATE, and VALUE behind it.
    State,
    Then,
    Trigger,
    Until,
    When,
    While,
}

impl Keyword {
    fn begins_function_body(self) -> bool {
        matches!(
            self,
            Keyword::Begin
                | Keyword::Case
                | Keyword::For
                | Keyword::If
                | Keyword::Loop
                | Keyword::Repeat
                | Keyword::Return
                | Keyword::While
        )
    }
}

const KEYWORDS: &[(&[u8], Keyword)] = &[
    (b"AGGREGATE", Keyword::Definition),
    (b"ALTER", Keyword::Alter),
    (b"ATOMIC", Keyword::Atomic),
    (b"BEGIN", Keyword::Begin),
    (b"CASE", Keyword::Case),
    (b"CREATE", Keyword::Create),
    (b"DECLARE", Keyword::Declare),
    (b"DEFINER", Keyword::Definition),
    (b"DO", Keyword::Do),
    (b"ELSE", Keyword::Else),
    (b"END", Keyword::End),
    (b"EVENT", Keyword::Event),
    (b"FOLLOWS", Keyword::Follows),
    (b"FOR", Keyword::For),
    (b"FUNCTION", Keyword::Function),
    (b"HANDLER", Keyword::Handler),
    (b"IF", Keyword::If),
    (b"LOOP", Keyword::Loop),
    (b"NOT", Keyword::Not),
    (b"ON", Keyword::On),
    (b"OR", Keyword::Definition),
    (b"PRECEDES", Keyword::Precedes),
    (b"PROCEDURE", Keyword::Procedure),
    (b"REPEAT", Keyword::Repeat),
    (b"REPLACE", Keyword::Definition),
    (b"RETURN", Keyword::Return),
    (b"ROW", Keyword::Row),
    (b"RULE", Keyword::Rule),
    (b"SQLSTATE", Keyword::State),
    (b"TEMP", Keyword::Definition),
    (b"TEMPORARY", Keyword::Definition),
    (b"THEN", Keyword::Then),
    (b"TRIGGER", Keyword::Trigger),
    (b"UNTIL", Keyword::Until),
    (b"VALUE", Keyword::State),
    (b"WHEN", Keyword::When),
    (b"WHILE", Keyword::While),
];

fn keyword(token: Token<'_>) -> Option<Keyword> {
    let Token::Word(word) = token else { return None };
    if !(2..=9).contains(&word.len()) {
        return None;
    }
    let found = KEYWORDS.iter().find(|(keyword, _)| word.eq_ignore_ascii_case(keyword));
    found.map(|(_, keyword)| *keyword)
}

/// Returns whether a word belongs to the characteristics between a procedure's parameters and its body.
fn is_characteristic(word: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "COMMENT",
        "CONTAINS",
        "DATA",
        "DEFINER",
        "DETERMINISTIC",
        "INVOKER",
        "LANGUAGE",
        "MODIFIES",
        "NO",
        "NOT",
        "READS",
        "SECURITY",
        "SQL",
    ];
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

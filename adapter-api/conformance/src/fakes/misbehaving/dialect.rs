//! The language of an adapter with a defect.

use std::sync::LazyLock;
use std::time::Duration;

use whimbrel_adapter_api::{Dialect, Facts, Feature, Lexer, Limits, Text, Value};

use super::{Defect, quiet_panic};

pub(super) struct BentDialect {
    pub(super) dialect: Box<dyn Dialect>,
    pub(super) defect: Defect,
}

impl Dialect for BentDialect {
    fn lexer(&self) -> Lexer {
        let mut lexer = self.dialect.lexer();
        match self.defect {
            Defect::LexerMissesNames => drop(lexer.features.remove(&Feature::BacktickNames)),
            Defect::LexerNestsComments => drop(lexer.features.insert(Feature::NestedComments)),
            _ => {}
        }
        lexer
    }

    fn facts(&self) -> Facts {
        let mut facts = self.dialect.facts();
        if self.defect == Defect::HistoryNowhere {
            facts.history_schema = None;
        }
        facts
    }

    fn quote(&self, identifier: &str) -> String {
        match self.defect {
            Defect::NamesUnescaped => format!("\"{identifier}\""),
            _ => self.dialect.quote(identifier),
        }
    }

    fn literal(&self, value: &Value<'_>) -> String {
        match (self.defect, value) {
            (Defect::LiteralsUnescaped, Value::Text(text)) => format!("'{text}'"),
            (Defect::LiteralsDoubleBackslashes, Value::Text(text)) => {
                self.dialect.literal(&Value::Text(text.replace('\\', "\\\\").into()))
            }
            _ => self.dialect.literal(value),
        }
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        if self.defect == Defect::PanicsInText {
            quiet_panic();
        }
        let texts = self.dialect.text(&bent_question(self.defect, text).unwrap_or_else(|| text.clone()));
        let texts = match (self.defect, text) {
            (Defect::TrimsScripts | Defect::LeaseTooShort, Text::Record { history, row }) => {
                let mut row = (*row).clone();
                match self.defect {
                    Defect::TrimsScripts => row.down_script = row.down_script.map(str::trim),
                    _ => row.lease = row.lease.map(|lease| Duration::from_millis(lease.as_secs())),
                }
                self.dialect.text(&Text::Record { history, row: &row })
            }
            _ => texts,
        };
        let replaced = replacement(self.defect, text);
        texts.map(|texts| {
            texts
                .into_iter()
                .map(|text| replaced.iter().fold(text, |text, (a, b)| text.replace(a, b)))
                .collect()
        })
    }
}

/// Returns what is asked of the sound dialect instead.
fn bent_question<'a>(defect: Defect, text: &Text<'a>) -> Option<Text<'a>> {
    static UNLIMITED: LazyLock<Limits> = LazyLock::new(Limits::default);
    match (defect, text) {
        (Defect::ForgetsLimits, Text::Begin { .. }) => Some(Text::Begin { limits: &UNLIMITED }),
        (Defect::ForgetsLimits, Text::Limit { .. }) => Some(Text::Limit { limits: &UNLIMITED }),
        _ => None,
    }
}

/// Returns what is replaced in the answer.
fn replacement(defect: Defect, text: &Text<'_>) -> &'static [(&'static str, &'static str)] {
    match (defect, text) {
        (Defect::CreatesTwice, Text::CreateHistory { .. }) => &[("IF NOT EXISTS ", "")],
        (Defect::HistoryWithoutKey, Text::CreateHistory { .. }) => &[
            ("PRIMARY KEY", ""),
            ("REFERENCES", "CHECK (true) --"),
            ("UNIQUE (migration, attempt)", "CHECK (true)"),
        ],
        (Defect::MarksSettledRows, Text::Mark { .. })
        | (Defect::FinishesSettledRows, Text::Finish { .. }) => &[(" AND state = 'started'", "")],
        (Defect::BriefDiffers, Text::BriefHistory { .. }) => &[("substr(checksum, 4", "substr(checksum, 1")],
        _ => &[],
    }
}

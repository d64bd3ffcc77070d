//! Puts layers of settings on top of each other, with crate `config`.
//!
//! A layer is what one place says: the defaults, a section of plugins.toml, `.env` and the environment, the command
//! line. The later layer wins, value by value, and every value keeps its origin.
//!
//! Urls are no settings in this sense: all of their places are kept, and no secret gets in here.

use std::collections::BTreeMap;

use config::{ConfigError, Map, Value};

use super::origin::Located;

/// The settings of one place, as text.
pub(super) type Layer = BTreeMap<&'static str, Located<String>>;

/// Returns what holds when later layers lie on earlier ones.
pub(super) fn merge(layers: Vec<Layer>) -> Result<Layer, ConfigError> {
    let mut builder = config::Config::builder();
    for (number, layer) in layers.iter().enumerate() {
        builder = builder.add_source(Numbered { number, layer: layer.clone() });
    }
    let winners = builder.build()?.cache.into_table()?;
    let number_of = |value: &Value| value.origin().and_then(|origin| origin.parse::<usize>().ok());
    let located = |(name, value): (String, Value)| {
        let (name, located) = layers.get(number_of(&value)?)?.get_key_value(name.as_str())?;
        Some((*name, located.clone()))
    };
    Ok(winners.into_iter().filter_map(located).collect())
}

/// A layer that marks its values with its number: `config` has room for a text only where an origin goes.
#[derive(Clone, Debug)]
struct Numbered {
    number: usize,
    layer: Layer,
}

impl config::Source for Numbered {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let origin = self.number.to_string();
        let value = |located: &Located<String>| Value::new(Some(&origin), located.value.clone());
        Ok(self.layer.iter().map(|(name, located)| ((*name).to_owned(), value(located))).collect())
    }
}

//! Settings as users may write them, for tests that feed the readers anything.

use figment::Figment;
use figment::providers::{Format, Toml};

use super::env;
use super::layer::Layer;
use super::peers::Peers;

const PORT: u16 = 15_000;

/// Reads lines of `NAME=value` as an environment; whether all is sound.
pub(crate) fn read_environment(text: &str) -> bool {
    let lookup = |name: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        let found = pairs.find(|(found, _)| *found == name);
        found.map(|(_, value)| value.to_owned())
    };
    let (layer, mistakes) = env::read(&lookup);
    is_sound(layer) && mistakes.is_empty()
}

/// Reads a file; whether it is sound.
pub(crate) fn read_file(text: &str) -> bool {
    let layer = Figment::from(Toml::string(text)).extract::<Layer>();
    layer.is_ok_and(is_sound)
}

/// Also what the text of the discovery says.
fn is_sound(layer: Layer) -> bool {
    Peers::new(&layer, None, None, PORT).is_ok()
}

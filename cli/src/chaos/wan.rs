//! `causeway chaos wan`: the emulated network, looked at and changed.

use std::path::PathBuf;

use anyhow::Context;
use causeway_protocol::Name;
use causeway_transport::wan::{self, LinkConfig, WanConfig, WanModel};
use clap::Args;

use crate::output::say;
use crate::world::World;

/// Flags of `causeway chaos wan`.
#[derive(Debug, Args)]
pub struct WanArgs {
    /// The world's file [default: the world started last]
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// Where datagrams are sent; with neither --from nor --to: everywhere
    #[arg(long, value_name = "PLACE")]
    from: Option<Name>,
    /// Where they arrive
    #[arg(long, value_name = "PLACE")]
    to: Option<Name>,
    /// The way back, too
    #[arg(long)]
    both: bool,
    /// Take this long one way, whatever the distance
    #[arg(long, value_name = "MS")]
    delay: Option<f64>,
    /// Up to this much longer, at random
    #[arg(long, value_name = "MS")]
    jitter: Option<f64>,
    /// Share that is lost, 0 to 1
    #[arg(long, value_name = "SHARE")]
    loss: Option<f64>,
    /// Share that is overtaken, 0 to 1
    #[arg(long, value_name = "SHARE")]
    reorder: Option<f64>,
    /// Nothing arrives
    #[arg(long, conflicts_with = "heal")]
    cut: bool,
    /// Undo all changes to these links
    #[arg(long)]
    heal: bool,
}

/// Shows the network, or changes it.
///
/// # Errors
/// Places that do not exist, values that cannot be, a world without emulation.
pub fn change_wan(args: &WanArgs) -> anyhow::Result<()> {
    let world = World::load(args.world.as_deref())?;
    let file = world
        .wan
        .context("this world's network is not emulated: it was started with --no-wan")?;
    let model = wan::read(&file)?;
    if !args.changes_something() {
        anyhow::ensure!(
            args.from.is_none() && args.to.is_none(),
            "what is to become of these links? See --cut, --heal, --delay, --jitter, --loss, --reorder"
        );
        say(&render(&model));
        return Ok(());
    }
    let mut config = model.config().clone();
    args.apply(&mut config)?;
    wan::write(&file, &config)?;
    say("changed; every node and client sees it within a tenth of a second");
    Ok(())
}

impl WanArgs {
    fn changes_something(&self) -> bool {
        self.heal || self.link() != LinkConfig::default()
    }

    fn link(&self) -> LinkConfig {
        LinkConfig {
            one_way_ms: self.delay,
            jitter_ms: self.jitter,
            loss: self.loss,
            reorder: self.reorder,
            cut: self.cut.then_some(true),
        }
    }

    fn apply(&self, config: &mut WanConfig) -> anyhow::Result<()> {
        for name in self.from.iter().chain(&self.to) {
            let known = config.places.iter().any(|p| p.name == *name);
            let places: Vec<&str> = config.places.iter().map(|p| p.name.as_str()).collect();
            let places = places.join(", ");
            anyhow::ensure!(known, "the world has no place `{name}`; there are {places}");
        }
        if self.from.is_none() && self.to.is_none() {
            if self.heal {
                config.links.clear();
                config.every_link = LinkConfig::default();
            }
            config.every_link = self.link().or(config.every_link);
            return Ok(());
        }
        for (from, to) in self.pairs(config) {
            let links = config.links.entry(from).or_default();
            let link = links.entry(to).or_default();
            if self.heal {
                *link = LinkConfig::default();
            }
            *link = self.link().or(*link);
        }
        for links in config.links.values_mut() {
            links.retain(|_, link| *link != LinkConfig::default());
        }
        config.links.retain(|_, links| !links.is_empty());
        Ok(())
    }

    /// The ordered pairs of places that are meant; a side that is not named
    /// stands for every other place.
    fn pairs(&self, config: &WanConfig) -> Vec<(Name, Name)> {
        let places: Vec<Name> = config.places.iter().map(|p| p.name.clone()).collect();
        let side = |named: &Option<Name>| match named {
            Some(name) => vec![name.clone()],
            None => places.clone(),
        };
        let mut pairs = Vec::new();
        for from in side(&self.from) {
            for to in side(&self.to) {
                let both_open = self.from.is_none() || self.to.is_none();
                if from == to && both_open {
                    continue;
                }
                pairs.push((from.clone(), to.clone()));
                if self.both {
                    pairs.push((to, from.clone()));
                }
            }
        }
        pairs
    }
}

/// Round trips between all places, in milliseconds.
fn render(model: &WanModel) -> String {
    let places = &model.config().places;
    let mut text = format!("{:14}", "one way, ms");
    for to in places {
        text += &format!("{:>14}", to.name.as_str());
    }
    text.push('\n');
    for from in places {
        text += &format!("{:14}", from.name.as_str());
        for to in places {
            let way = model.one_way(&from.name, &to.name).unwrap_or_default();
            text += &match is_cut(model.config(), &from.name, &to.name) {
                true => format!("{:>14}", "cut"),
                false => format!("{:>14.1}", way.as_secs_f64() * 1e3),
            };
        }
        text.push('\n');
    }
    let changes = toml::to_string(&WanConfig {
        places: Vec::new(),
        ..model.config().clone()
    });
    text.push('\n');
    text += &changes.unwrap_or_default();
    text
}

fn is_cut(config: &WanConfig, from: &Name, to: &Name) -> bool {
    let link = config.links.get(from).and_then(|links| links.get(to));
    let link = link.copied().unwrap_or_default().or(config.every_link);
    link.cut == Some(true)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        wan: WanArgs,
    }

    fn config() -> WanConfig {
        let text = ["us-east", "eu-west", "nyc"].iter().enumerate().map(|(i, name)| {
            format!(
                "[[place]]\nname = \"{name}\"\nlatitude = 0.0\nlongitude = 0.0\nnetwork = \"127.{i}.1.0/24\"\n"
            )
        });
        toml::from_str(&text.collect::<String>()).unwrap()
    }

    fn apply(config: &mut WanConfig, line: &[&str]) -> anyhow::Result<()> {
        let words = std::iter::once("wan").chain(line.iter().copied());
        Line::parse_from(words).wan.apply(config)
    }

    fn cuts(config: &WanConfig) -> Vec<String> {
        let links = config.links.iter();
        let pairs = links.flat_map(|(from, tos)| tos.keys().map(move |to| format!("{from}>{to}")));
        pairs.collect()
    }

    #[test]
    fn a_cut_has_one_direction_unless_both_are_asked_for() {
        let mut config = config();
        apply(&mut config, &["--from", "us-east", "--to", "nyc", "--cut"]).unwrap();
        assert_eq!(cuts(&config), ["us-east>nyc"]);
        let [us, eu, nyc] = ["us-east", "eu-west", "nyc"].map(|name| name.parse().unwrap());
        assert!(is_cut(&config, &us, &nyc) && !is_cut(&config, &nyc, &us));
        assert!(!is_cut(&config, &us, &eu));
        apply(&mut config, &["--from", "us-east", "--to", "nyc", "--heal"]).unwrap();
        assert_eq!(cuts(&config), [""; 0]);
        apply(&mut config, &["--from", "eu-west", "--cut", "--both"]).unwrap();
        assert_eq!(
            cuts(&config),
            [
                "eu-west>nyc",
                "eu-west>us-east",
                "nyc>eu-west",
                "us-east>eu-west"
            ]
        );
    }

    #[test]
    fn without_places_every_link_is_meant() {
        let mut config = config();
        apply(&mut config, &["--loss", "0.1"]).unwrap();
        apply(&mut config, &["--jitter", "3"]).unwrap();
        assert_eq!(config.every_link.loss, Some(0.1));
        assert_eq!(config.every_link.jitter_ms, Some(3.0));
        apply(&mut config, &["--heal"]).unwrap();
        assert_eq!(config.every_link, LinkConfig::default());
    }

    #[test]
    fn unknown_places_are_refused() {
        assert!(apply(&mut config(), &["--from", "mars", "--cut"]).is_err());
    }
}

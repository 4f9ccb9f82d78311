//! Colours and other marks of style. Everything is told by signs and words, too:
//! without colours nothing is lost.

use causeway_protocol::UserId;
use ratatui::style::{Color, Modifier, Style};

/// Colours for authors, readable on dark and on light ground.
const AUTHORS: [Color; 8] = [
    Color::Green,
    Color::Yellow,
    Color::Blue,
    Color::Magenta,
    Color::Cyan,
    Color::LightGreen,
    Color::LightBlue,
    Color::LightMagenta,
];

/// How things look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    colours: bool,
}

impl Theme {
    /// With colours, or with bold, dim and reversed text only.
    pub fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// As <https://no-color.org> has it: any value but the empty one.
    pub fn from_env() -> Self {
        let no_color = std::env::var_os("NO_COLOR");
        Self::new(no_color.is_none_or(|value| value.is_empty()))
    }

    fn colour(self, colour: Color) -> Style {
        match self.colours {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    /// An author's name: always in the same colour.
    pub fn author(self, user: UserId) -> Style {
        // Neighbouring ids are to differ: Fibonacci hashing takes the upper bits.
        let hash = user.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61;
        let colour = usize::try_from(hash).ok().and_then(|at| AUTHORS.get(at));
        self.colour(colour.copied().unwrap_or(Color::Reset))
            .add_modifier(Modifier::BOLD)
    }

    /// What stands back: times, separators, hints.
    pub fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What stands out.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Where the user is.
    pub fn current(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Threads.
    pub fn thread(self) -> Style {
        self.colour(Color::Cyan)
    }

    /// All is well.
    pub fn good(self) -> Style {
        self.colour(Color::Green)
    }

    /// Something is under way or new.
    pub fn alert(self) -> Style {
        self.colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// Something has failed.
    pub fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }
}

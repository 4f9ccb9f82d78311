//! Elements of HTML and SVG, written so that both kinds of parser read them:
//! every tag is closed, every text escaped.

use std::fmt;

/// An element. What it displays as is markup.
#[derive(Debug, Clone)]
pub struct Element {
    name: &'static str,
    attributes: String,
    inside: String,
}

/// An element without anything.
pub fn el(name: &'static str) -> Element {
    Element {
        name,
        attributes: String::new(),
        inside: String::new(),
    }
}

impl Element {
    /// With an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        let value = escaped(&value.to_string());
        self.attributes += &format!(" {name}=\"{value}\"");
        self
    }

    /// With a class.
    #[must_use]
    pub fn class(self, class: &str) -> Self {
        self.with("class", class)
    }

    /// With numbers as attributes, to a tenth.
    #[must_use]
    pub fn at<const N: usize>(self, numbers: [(&str, f64); N]) -> Self {
        let with = |element: Self, (name, value): (&str, f64)| {
            element.with(name, (value * 10.0).round() / 10.0)
        };
        numbers.into_iter().fold(self, with)
    }

    /// With more text.
    #[must_use]
    pub fn text(mut self, text: impl fmt::Display) -> Self {
        self.inside += &escaped(&text.to_string());
        self
    }

    /// With more elements.
    #[must_use]
    pub fn add(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        for child in children {
            self.inside += &child.to_string();
        }
        self
    }

    /// With a style sheet of ours, in which nothing needs escaping.
    #[must_use]
    pub fn style(mut self, sheet: &'static str) -> Self {
        self.inside += &format!("<style>{sheet}</style>");
        self
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            attributes,
            inside,
        } = self;
        match inside.is_empty() && is_void(name) {
            true => write!(f, "<{name}{attributes}/>"),
            false => write!(f, "<{name}{attributes}>{inside}</{name}>"),
        }
    }
}

/// HTML knows these without an end.
fn is_void(name: &str) -> bool {
    ["meta", "rect", "line", "path", "circle"].contains(&name)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // XML has no place for these.
            sign if sign.is_control() => escaped.push('\u{fffd}'),
            sign => escaped.push(sign),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_cannot_get_out() {
        let element = el("text")
            .with("title", "a\"b")
            .at([("x", 1.26)])
            .text("<script>&'\u{1b}");
        assert_eq!(
            element.to_string(),
            "<text title=\"a&quot;b\" x=\"1.3\">&lt;script&gt;&amp;&#39;\u{fffd}</text>"
        );
        assert_eq!(el("rect").to_string(), "<rect/>");
    }
}

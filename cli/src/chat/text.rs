//! Text as a terminal shows it: in cells, not in bytes or characters.

use ratatui::buffer::CellWidth;
use ratatui::style::Style;
use ratatui::text::Span;

/// What a tab becomes.
const TAB: &str = "    ";

/// Makes a text from elsewhere safe: no control characters, which would steer
/// the terminal, and no marks that turn the direction of what follows.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => clean.push('\n'),
            '\t' => clean.push_str(TAB),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean
}

/// A clean text as it is drawn. Pictures that are joined from several are drawn
/// one by one, and none asks for the coloured variant of a sign: terminals
/// disagree about the cells of those, and some break over them.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let clean = clean(text);
    let mut chars = clean.chars().peekable();
    while let Some(c) = chars.next() {
        let joins_letters = chars.peek().is_some_and(|next| next.is_alphabetic());
        let is_joiner = c == '\u{200d}' && !joins_letters;
        if !is_joiner && c != '\u{fe0f}' {
            shown.push(c);
        }
    }
    shown
}

/// A text as it is drawn in one line: without line breaks.
pub fn one_line(text: &str) -> String {
    shown(text).replace('\n', " ")
}

/// The text, cut where a reader sees one sign end and the next begin. A control
/// character is a sign of its own.
pub fn graphemes(text: &str) -> Vec<&str> {
    if text.is_ascii() {
        return (0..text.len()).map(|at| &text[at..=at]).collect();
    }
    let mut signs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.find(char::is_control).unwrap_or(rest.len());
        let (mut head, tail) = rest.split_at(plain);
        let span = Span::raw(head);
        for sign in span.styled_graphemes(Style::default()) {
            let (first, others) = head.split_at(sign.symbol.len());
            signs.push(first);
            head = others;
        }
        let control = tail.chars().next().map_or(0, char::len_utf8);
        let (control, after) = tail.split_at(control);
        if !control.is_empty() {
            signs.push(control);
        }
        rest = after;
    }
    signs
}

/// The cells that one sign takes: 0, 1 or 2, rarely more.
pub fn cells(sign: &str) -> usize {
    match sign.contains(char::is_control) {
        true => 0,
        false => usize::from(sign.cell_width()),
    }
}

/// The cells that one sign takes as it is drawn.
pub fn shown_cells(sign: &str) -> usize {
    match sign.chars().nth(1) {
        Some(_) => width(&shown(sign)),
        None => cells(sign),
    }
}

/// The cells that a text takes in one line.
pub fn width(text: &str) -> usize {
    graphemes(text).into_iter().map(cells).sum()
}

/// The text in at most `cells_max` cells; what is cut off shows as `…`.
pub fn fit(text: &str, cells_max: usize) -> String {
    if width(text) <= cells_max {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut used = 1;
    for sign in graphemes(text) {
        used += cells(sign);
        if used > cells_max {
            break;
        }
        fitted.push_str(sign);
    }
    if cells_max > 0 {
        fitted.push('…');
    }
    fitted
}

/// The text in exactly `cells_wanted` cells.
pub fn column(text: &str, cells_wanted: usize) -> String {
    let mut column = fit(text, cells_wanted);
    let missing = cells_wanted.saturating_sub(width(&column));
    column.extend(std::iter::repeat_n(' ', missing));
    column
}

/// Breaks a clean text into lines of at most `cells_max` cells: between words, on
/// either side of a wide sign, and inside a word that is longer than a line.
pub fn wrap(text: &str, cells_max: usize) -> Vec<String> {
    let cells_max = cells_max.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        wrap_paragraph(paragraph, cells_max, &mut lines);
    }
    lines
}

fn wrap_paragraph(paragraph: &str, cells_max: usize, lines: &mut Vec<String>) {
    let mut line = String::new();
    let mut used = 0;
    // Where the line may be broken.
    let mut gap = None;
    let mut wide_before = false;
    for sign in graphemes(paragraph) {
        let sign_cells = cells(sign);
        let is_space = sign == " ";
        if wide_before || sign_cells > 1 || (line.ends_with(' ') && !is_space) {
            gap = Some(line.len());
        }
        wide_before = sign_cells > 1;
        if used + sign_cells > cells_max && !line.is_empty() {
            if is_space {
                // The break takes the place of the spaces around it.
                gap = Some(line.len());
                continue;
            }
            let tail = line.split_off(gap.filter(|&at| at > 0).unwrap_or(line.len()));
            lines.push(line.trim_end().to_owned());
            used = width(&tail);
            line = tail;
            gap = None;
        }
        line.push_str(sign);
        used += sign_cells;
    }
    lines.push(line);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("the tide is out", 8), ["the tide", "is out"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(wrap("one\n\ntwo", 8), ["one", "", "two"]);
        assert_eq!(wrap("  indented", 20), ["  indented"]);
    }

    #[test]
    fn a_word_longer_than_a_line_is_broken_inside() {
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("a bcdefghij", 4), ["a", "bcde", "fghi", "j"]);
    }

    #[test]
    fn wide_signs_may_be_broken_around() {
        assert_eq!(wrap("海の道が続く", 5), ["海の", "道が", "続く"]);
        assert_eq!(wrap("see 海の道", 6), ["see 海", "の道"]);
        assert_eq!(wrap("👋🏽👋🏽", 3), ["👋🏽", "👋🏽"]);
    }

    #[test]
    fn what_steers_a_terminal_is_taken_out() {
        assert_eq!(clean("a\x1b[31mb\u{7}\u{202e}c\td"), "a[31mbc    d");
        assert_eq!(one_line("a\nb"), "a b");
    }

    #[test]
    fn joined_pictures_are_drawn_one_by_one_and_letters_stay_joined() {
        assert_eq!(shown("👩\u{200d}👧 ❤\u{fe0f}"), "👩👧 ❤");
        assert_eq!(shown("👩\u{200d}"), "👩");
        let kssa = "ක්\u{200d}ෂ";
        assert_eq!(shown(kssa), kssa);
    }

    #[test]
    fn a_column_has_its_width() {
        assert_eq!(column("ada", 5), "ada  ");
        assert_eq!(column("adalovelace", 5), "adal…");
        assert_eq!(column("海の道", 4), "海… ");
        assert_eq!(column("ada", 0), "");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn lines_fit_and_no_sign_is_lost(text in "[a-c 海👋é\n]{0,60}", cells_max in 2usize..20) {
            let text = clean(&text);
            let lines = wrap(&text, cells_max);
            prop_assert!(lines.iter().all(|line| width(line) <= cells_max), "{:?}", lines);
            let without = |text: &str| text.replace([' ', '\n'], "");
            prop_assert_eq!(without(&lines.concat()), without(&text));
        }

        #[test]
        fn signs_make_up_the_text(text in "\\PC{0,40}|[\\x00-\\x1f海a]{0,20}") {
            prop_assert_eq!(graphemes(&text).concat(), text);
        }
    }
}

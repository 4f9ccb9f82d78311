//! The terminal: taken over at the start, and given back on every way out.

use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::app::App;
use super::view;

type Hook = Arc<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// The terminal while the chat has it. Dropping it gives it back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
    panicked: Arc<AtomicBool>,
    hook: Hook,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// The system's: most likely there is no terminal.
    pub fn open() -> io::Result<Self> {
        if !io::stdout().is_terminal() {
            return Err(io::Error::other("the output is no terminal"));
        }
        let panicked = Arc::new(AtomicBool::new(false));
        let hook: Hook = Arc::from(std::panic::take_hook());
        let (seen, before) = (panicked.clone(), hook.clone());
        // A panic's message is to be read, so the terminal comes first.
        std::panic::set_hook(Box::new(move |info| {
            if !seen.swap(true, Ordering::SeqCst) {
                restore();
            }
            before(info);
        }));
        let opened = take_over().and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match opened {
            Ok(terminal) => Ok(Self {
                terminal,
                panicked,
                hook,
            }),
            Err(error) => {
                restore();
                give_hook_back(hook);
                Err(error)
            }
        }
    }

    /// Width and height.
    ///
    /// # Errors
    /// The system's.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Whether some task has panicked, and the terminal is lost to its message.
    pub fn is_lost(&self) -> bool {
        self.panicked.load(Ordering::SeqCst)
    }

    /// Forgets what is on the screen: the next picture is drawn in full.
    ///
    /// # Errors
    /// The system's: the terminal has been closed.
    pub fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Draws what has changed.
    ///
    /// # Errors
    /// The system's: the terminal has been closed.
    pub fn draw(&mut self, app: &App) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(app, frame))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if !self.is_lost() {
            restore();
        }
        // The hook cannot be changed by a thread that is panicking.
        if !std::thread::panicking() {
            give_hook_back(self.hook.clone());
        }
    }
}

fn give_hook_back(hook: Hook) {
    std::panic::set_hook(Box::new(move |info| hook(info)));
}

fn take_over() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        EnableMouseCapture,
        EnableBracketedPaste
    )
}

/// Gives the terminal back. Nothing can be done about what fails here.
fn restore() {
    let _ = execute!(
        io::stdout(),
        DisableBracketedPaste,
        DisableMouseCapture,
        LeaveAlternateScreen,
        crossterm::cursor::Show
    );
    let _ = disable_raw_mode();
}

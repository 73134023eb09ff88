//! A real terminal, by tmux: prompts and progress bars.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::kit::{Kit, TOKEN, check_secrets, eventually, text};

/// A terminal of 100 by 30 in which a shell runs one line.
struct Terminal {
    server: String,
}

impl Terminal {
    /// Runs a line of shell, in which `$KAA` is the program. At its end it shows `rc=STATUS`.
    fn run(kit: &Kit, line: &str, unset: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let server = format!("kaa-{}-{number}", std::process::id());
        // A file, so that nothing is quoted twice.
        let script = format!("trap : INT; unset {unset} X; {line}\necho rc=$?\nexec sleep 1000\n");
        let script = kit.file("line.sh", &script);
        let mut shell = kit.shell(&format!(
            "exec tmux -L {server} -f /dev/null new-session -d -x 100 -y 30 'sh {script}'"
        ));
        let status = shell.env("TERM", "xterm").env_remove("TMUX").status();
        assert!(status.expect("tmux is installed").success());
        Self { server }
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.server])
            .args(args)
            .output();
        String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
    }

    /// What it shows.
    fn screen(&self) -> String {
        let screen = self.tmux(&["capture-pane", "-p"]);
        check_secrets(&screen);
        screen
    }

    fn shows(&self, part: &str) -> String {
        let mut screen = String::new();
        eventually(part, || {
            screen = self.screen();
            screen.contains(part)
        });
        screen
    }

    fn keys(&self, keys: &str) {
        self.tmux(&["send-keys", "-l", keys]);
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Answers a prompt; what the program that was asked shows when it has ended well.
    fn answers(&self, prompt: &str, words: &str) -> String {
        self.shows(prompt);
        self.keys(words);
        self.press("Enter");
        self.shows("rc=0")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn the_token_is_asked_for_and_not_shown() {
    let kit = Kit::new();
    let terminal = Terminal::run(&kit, "\"$KAA\" plain t 1", "KAA_TOKEN");
    let screen = terminal.answers("endpoint token:", TOKEN);
    assert!(screen.contains("{\"outcome\":\"confirmed\"}"), "{screen}");
    assert_eq!(kit.samples(), 1);
}

#[test]
fn the_password_is_asked_for_even_when_the_input_is_a_pipe() {
    let kit = Kit::with_user("pump@tenant", "s3cretPassw0rd");
    let line = "echo '{\"a\": 1}' | \"$KAA\" telemetry --username pump@tenant";
    let terminal = Terminal::run(&kit, line, "KAA_PASSWORD");
    terminal.answers("password:", "s3cretPassw0rd");
    assert_eq!(kit.samples(), 1);
}

#[test]
fn a_secret_can_be_kept_in_a_profile() {
    let kit = Kit::new();
    let line = "\"$KAA\" profile set --ask token && \"$KAA\" plain t 1";
    let terminal = Terminal::run(&kit, line, "KAA_TOKEN");
    terminal.answers("endpoint token:", TOKEN);
    let profile = fs::read_to_string(kit.path(".config/kaa/default.toml")).unwrap();
    assert_eq!(profile, format!("token = \"{TOKEN}\"\n"));
}

#[test]
fn a_prompt_can_be_left_and_the_terminal_is_as_before() {
    let kit = Kit::new();
    let line = "\"$KAA\" plain t 1; echo left=$?; stty -a | grep -o ' echo '";
    let terminal = Terminal::run(&kit, line, "KAA_TOKEN");
    terminal.shows("endpoint token:");
    terminal.keys("abc");
    terminal.press("C-c");
    // What is typed is shown again.
    terminal.shows("left=130");
    terminal.shows("rc=0");
    assert_eq!(kit.state(), None);
}

#[test]
fn a_prompt_leaves_a_hangup_ignored_that_was_ignored() {
    let kit = Kit::new();
    let id = kit.path("id");
    // As `nohup` does it.
    let line = format!(
        "(trap '' HUP; exec sh -c 'echo $$ > {}; exec \"$KAA\" telemetry --each')",
        text(&id)
    );
    let terminal = Terminal::run(&kit, &line, "KAA_TOKEN");
    terminal.shows("endpoint token:");
    let id = fs::read_to_string(id).unwrap();
    let hang_up = || Command::new("kill").args(["-HUP", id.trim()]).status();
    assert!(hang_up().unwrap().success());
    terminal.keys(TOKEN);
    terminal.press("Enter");
    terminal.shows("Ctrl-D ends them");
    assert!(hang_up().unwrap().success());
    terminal.keys("{\"a\": 1}");
    terminal.press("Enter");
    terminal.shows("{\"line\":1,\"outcome\":\"confirmed\"}");
    terminal.press("C-d");
    terminal.shows("rc=0");
}

#[test]
fn a_stream_shows_how_far_it_is_and_then_its_account() {
    let kit = Kit::new();
    let go_on = kit.path("go-on");
    let line = format!(
        "(echo 1; while [ ! -e {} ]; do sleep 0.1; done; echo 2) | \"$KAA\" telemetry --every 50ms",
        text(&go_on)
    );
    let terminal = Terminal::run(&kit, &line, "NOTHING");
    terminal.shows("1 confirmed, 0 messages waiting");
    fs::write(&go_on, "").unwrap();
    let screen = terminal.shows("rc=0");
    assert!(screen.contains("kaa: 2 samples, 2 confirmed"), "{screen}");
    assert!(
        screen.contains("{\"samples\":2,\"confirmed\":2}"),
        "{screen}"
    );
    assert!(!screen.contains("messages waiting"), "{screen}");
}

#[test]
fn a_file_shows_a_bar_beside_which_words_are_whole() {
    let kit = Kit::new();
    kit.fault("black-hole 1h dcx");
    let input = kit.file("samples", "{\"a\": 1}\nnonsense\n{\"a\": 2}\n");
    let line = format!("\"$KAA\" telemetry --batch 1 < {input}");
    let terminal = Terminal::run(&kit, &line, "NOTHING");
    let screen = terminal.shows("% of 27 B");
    assert!(
        screen.contains("kaa: not JSON: expected ident at line 2, column 2"),
        "{screen}"
    );
    terminal.press("C-c");
    let screen = terminal.shows("rc=4");
    assert!(
        screen.contains("3 samples, 1 invalid, 2 unknown"),
        "{screen}"
    );
}

#[test]
fn an_upload_shows_a_bar() {
    let kit = Kit::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let file = kit.path("big");
    fs::write(&file, vec![0; 64 << 20]).unwrap();
    let line = format!("\"$KAA\" upload --http-url {url} {}", text(&file));
    let terminal = Terminal::run(&kit, &line, "NOTHING");
    // It is not read, so it cannot get far.
    let (_stream, _) = listener.accept().unwrap();
    terminal.shows("% of 64.00 MiB");
    terminal.press("C-c");
    terminal.shows("the server did not read");
    terminal.shows("rc=130");
}

#[test]
fn who_types_lines_is_told_how_to_end_them() {
    let kit = Kit::new();
    let terminal = Terminal::run(&kit, "\"$KAA\" telemetry --each", "NOTHING");
    terminal.shows("Ctrl-D ends them");
    terminal.keys("{\"a\": 1}");
    terminal.press("Enter");
    terminal.shows("{\"line\":1,\"outcome\":\"confirmed\"}");
    terminal.press("C-d");
    terminal.shows("rc=0");
}

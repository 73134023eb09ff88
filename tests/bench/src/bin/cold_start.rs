//! How long the smallest program takes from its start until its sample is confirmed, and how much
//! memory, with kaa-blocking and with rumqttc in turns. `cold_start` prints a table and the figures.

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use kaa_bench::Outcome;
use kaa_bench::spread::{Spread, rounded};

/// Rounds that count, after one that does not.
const ROUNDS: usize = 31;
const PROGRAMS: [&str; 2] = ["sender_kaa", "sender_rumqttc"];

/// What one start took.
#[derive(Clone, Copy, Debug)]
struct Start {
    milliseconds: f64,
    peak: f64,
}

/// Ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Outcome<()> {
    let (_platform, port) = begin("null_platform", &[])?;
    let url = format!("mqtt://127.0.0.1:{port}");
    let mut starts = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (program, starts) in PROGRAMS.into_iter().zip(&mut starts) {
            let start = start(program, &url)?;
            if round > 0 {
                starts.push(start);
            }
        }
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "| the smallest sender | ms to confirmed | peak KiB |\n|---|---|---|"
    )?;
    let mut lines = Vec::new();
    for (program, starts) in ["kaa-blocking", "rumqttc"].into_iter().zip(&starts) {
        let time = Spread::of(starts.iter().map(|start| start.milliseconds))?;
        let peak = Spread::of(starts.iter().map(|start| start.peak))?;
        writeln!(out, "| {program} | {time} | {peak} |")?;
        let of = if program == "rumqttc" { "rumqttc." } else { "" };
        lines.push(format!(
            "cold_start.{of}milliseconds {} ms",
            rounded(time.median)
        ));
        lines.push(format!("cold_start.{of}peak {} KiB", rounded(peak.median)));
    }
    writeln!(out)?;
    Ok(lines.iter().try_for_each(|line| writeln!(out, "{line}"))?)
}

/// Starts a program from the folder that this one is in; gives the first line it prints.
fn begin(program: &str, arguments: &[&str]) -> Outcome<(Running, String)> {
    let mut process = Command::new(env::current_exe()?.with_file_name(program))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = process.stdout.take().ok_or("no output")?;
    let (running, mut line) = (Running(process), String::new());
    BufReader::new(output).read_line(&mut line)?;
    Ok((running, line.trim().into()))
}

fn start(program: &str, url: &str) -> Outcome<Start> {
    let start = Instant::now();
    let (running, line) = begin(program, &[url])?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    if line != "confirmed" {
        return Err(format!("{program} failed").into());
    }
    let status = fs::read_to_string(format!("/proc/{}/status", running.0.id()))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.split_whitespace().next());
    let peak = peak.ok_or("/proc has no peak")?.parse()?;
    Ok(Start { milliseconds, peak })
}

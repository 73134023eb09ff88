//! The smallest program that has one sample confirmed, with kaa-blocking: `sender_kaa URL`. It prints
//! a line then, and stays until its input ends.

use std::io::{self, Write as _};
use std::time::Duration;

use kaa_blocking::names::EndpointName;
use kaa_blocking::telemetry::Sample;
use kaa_blocking::{Client, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("a URL is missing")?;
    let client = Client::connect(Options::new(&url)?)?;
    let device = client.endpoint(&EndpointName::parse("demo-v1", "JTjdbENzHh")?)?;
    device.request(&Sample::new([21.5]))?;
    writeln!(io::stdout(), "confirmed")?;
    io::stdin().read_line(&mut String::new())?;
    client.shutdown(Duration::from_secs(1));
    Ok(())
}

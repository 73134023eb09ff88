//! Prints what is asked and what comes back.
#![allow(
    clippy::print_stdout,
    reason = "the transcript is what this program is for"
)]

use std::fmt::Debug;
use std::process::ExitCode;
use std::time::Duration;

use kaa_blocking::request::{Failure, Instances, Prepared, Request};
use kaa_blocking::{Endpoint, Ticket};

pub(crate) struct Transcript<'a> {
    device: &'a Endpoint,
    /// Whether every push has to come.
    expects_pushes: bool,
    asked: u32,
    confirmed: u32,
}

impl<'a> Transcript<'a> {
    pub(crate) fn new(device: &'a Endpoint, expects_pushes: bool) -> Self {
        println!("device {}", device.name());
        Self {
            device,
            expects_pushes,
            asked: 0,
            confirmed: 0,
        }
    }

    /// Asks, waits, and prints both.
    pub(crate) fn ask<R>(&mut self, what: &str, request: &R) -> Option<R::Response>
    where
        R: Request,
        R::Response: Debug,
    {
        match Prepared::new(request)
            .map_err(Into::into)
            .and_then(|prepared| {
                let topic = prepared.shortened_topic(self.device.name(), &Instances::default());
                println!("\n{what}\n  > {topic}\n    {}", text(prepared.payload()));
                self.device.submit(request)
            }) {
            Ok(mut ticket) => self.wait(&mut ticket),
            Err(error) => {
                println!("\n{what}\n  ! {error}");
                self.asked += 1;
                None
            }
        }
    }

    /// Waits for something that was asked already.
    pub(crate) fn settle<R>(&mut self, what: &str, ticket: &mut Ticket<R>)
    where
        R: Request,
        R::Response: Debug,
    {
        println!("\n{what}");
        self.wait(ticket);
    }

    /// Prints what the platform sent by itself.
    pub(crate) fn pushed<T: Debug>(&mut self, what: &str, push: Option<T>) -> Option<T> {
        match &push {
            Some(push) => println!("\n{what} came\n  < {push:?}"),
            None => {
                println!("\n{what} did not come");
                self.asked += u32::from(self.expects_pushes);
            }
        }
        push
    }

    pub(crate) fn note(&self, text: &str) {
        println!("  ({text})");
    }

    pub(crate) fn verdict(&self) -> ExitCode {
        println!(
            "\n{} of {} operations confirmed",
            self.confirmed, self.asked
        );
        match self.confirmed == self.asked {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    fn wait<R>(&mut self, ticket: &mut Ticket<R>) -> Option<R::Response>
    where
        R: Request,
        R::Response: Debug,
    {
        self.asked += 1;
        match ticket
            .wait(Duration::from_secs(60))
            .unwrap_or(Err(Failure::Unanswered))
        {
            Ok(response) => {
                self.confirmed += 1;
                println!("  < confirmed {response:?}");
                Some(response)
            }
            Err(failure) => {
                println!("  ! {failure}");
                None
            }
        }
    }
}

fn text(payload: &[u8]) -> &str {
    std::str::from_utf8(payload).unwrap_or("(binary)")
}

//! The same client on async-std: its sockets, and a task of its executor.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use kaa_smol::Options;
//! use kaa_smol::async_std::Client;
//! use kaa_smol::names::EndpointName;
//! use kaa_smol::telemetry::Sample;
//! use serde_json::json;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     async_std::task::block_on(async {
//!         let client = Client::connect(Options::new("mqtt://127.0.0.1")?).await?;
//!         client.ready(Duration::from_secs(20)).await?;
//!         let device = client.endpoint(&EndpointName::parse("demo-v1", "JTjdbENzHh")?)?;
//!         device.request(&Sample::new(json!({"temperature": 21}))).await?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! ```toml
//! [dependencies]
//! async-std = "1.13"
//! kaa-smol = { path = "../kaa/kaa-smol", default-features = false, features = ["async-std", "tls"] }
//! serde_json = "1"
//! ```

use std::future::Future;
use std::io;
use std::ops::Deref;
use std::time::Duration;

use async_std::net::TcpStream;
use futures_io::{AsyncRead, AsyncWrite};
use kaa_proto::client::{self, ConnectError, Options, Target};

use crate::runtime::connect_each;

/// [`Client`](crate::Client) on async-std's executor.
#[derive(Clone, Debug)]
pub struct Client(crate::Client);

impl Client {
    /// As [`crate::Client::connect`](crate::Client).
    ///
    /// # Errors
    /// [`ConnectError`] if an option cannot be kept, the store cannot be opened, or the operating
    /// system gives no entropy or thread.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let within = options.connect_within();
        Self::connect_with(options, move |target| tcp(target, within)).await
    }

    /// As [`connect`](Self::connect), with a connector that makes the transport of each link.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with<C, F, S>(options: Options, connector: C) -> Result<Self, ConnectError>
    where
        C: FnMut(Target) -> F + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (client, driver) = crate::Client::with_driver_and(options, connector).await?;
        drop(async_std::task::spawn(driver));
        Ok(Self(client))
    }
}

impl Deref for Client {
    type Target = client::Client;

    fn deref(&self) -> &client::Client {
        &self.0
    }
}

/// Connects over TCP: every address of the name is tried.
async fn tcp(target: Target, within: Duration) -> io::Result<TcpStream> {
    let stream = connect_each(target, within, TcpStream::connect).await?;
    // Without it each small message waits for the answer to the one before.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

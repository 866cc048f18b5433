//! `ponte listen`: the events of an application, posted to a developer's machine as webhooks would be.
//!
//! A client of the public API and nothing else: it works against any server, needs no public address, and touches no
//! file or database. It follows the log by cursor, so that neither a server that goes away nor a key that ends loses
//! an event or sends one twice; it posts one at a time, in the log's order, and waits for a local server that is down.

mod forward;
mod server;

use std::{process::ExitCode, time::Duration};

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};
use url::Url;

use self::{
    forward::{Forward, Outcome},
    server::{Server, Trouble},
};
use crate::{clock::Rng, webhook::signature::Secret};

/// What webhooks get only when they ask for it by name.
const BY_NAME_ONLY: &str = "item/status_changed";
/// The longest pause before something that failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An empty answer that comes sooner than this is not asked for again at once.
const TOO_SOON: Duration = Duration::from_secs(1);

/// What is to be forwarded, from where and where to.
#[derive(Args)]
pub struct Arguments {
    /// Where events are posted to, such as http://localhost:3000/hook.
    #[arg(long, value_name = "URL")]
    forward_to: Url,
    /// The Ponte whose events they are.
    #[arg(
        long,
        env = "PONTE_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:4000"
    )]
    server: Url,
    /// The application's id.
    #[arg(long, env = "PONTE_CLIENT_ID", value_name = "ID")]
    client_id: String,
    /// The application's secret.
    #[arg(
        long,
        env = "PONTE_CLIENT_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    client_secret: SecretString,
    /// Only these types, such as item/updated,item/error; all but item/status_changed when left out.
    #[arg(long, value_delimiter = ',', value_name = "TYPES")]
    types: Vec<String>,
    /// Go on behind this cursor; left out, from now on.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Sign with this secret (`whsec_…`); a new one is made and printed when left out.
    #[arg(
        long,
        env = "PONTE_LISTEN_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    secret: Option<SecretString>,
}

/// An event as the API shows it.
#[derive(Deserialize)]
struct Event {
    id: String,
    cursor: String,
    name: String,
    payload: Value,
}

/// Forwards until it is interrupted.
pub async fn run(arguments: Arguments) -> ExitCode {
    let secret = match &arguments.secret {
        Some(text) => Secret::parse(text.expose_secret()),
        None => Ok(Secret::generate(&Rng::system())),
    };
    let secret = match secret {
        Ok(secret) => secret,
        Err(error) => return failed(&error.to_string()),
    };
    println!("forwarding to   {}", arguments.forward_to);
    println!("signing secret  {}", secret.reveal().as_str());
    let mut cursor = arguments.after.clone();
    let outcome = {
        let forwarding = forward(arguments, secret, &mut cursor);
        tokio::select! {
            reason = forwarding => Some(reason),
            () = interrupted() => None,
        }
    };
    if let Some(cursor) = cursor {
        eprintln!("go on with      --after {cursor}");
    }
    outcome.map_or(ExitCode::SUCCESS, |reason| failed(&reason))
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("ponte: {reason}");
    ExitCode::FAILURE
}

async fn interrupted() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Forwards for as long as there is sense in it, and answers why there is none.
async fn forward(arguments: Arguments, secret: Secret, cursor: &mut Option<String>) -> String {
    // As the graph spells them.
    let types: Vec<String> = arguments
        .types
        .iter()
        .map(|name| name.trim().replace('/', "_").to_uppercase())
        .collect();
    let begun = (
        Server::new(
            &arguments.server,
            arguments.client_id,
            arguments.client_secret,
        ),
        Forward::new(arguments.forward_to, secret),
    );
    let (mut server, local) = match begun {
        (Ok(server), Ok(local)) => (server, local),
        (Err(error), _) | (_, Err(error)) => return error,
    };
    let mut patience = Patience::default();
    loop {
        let asked = Instant::now();
        match step(&mut server, &local, &types, cursor).await {
            Ok(count) => {
                patience = Patience::default();
                if count == 0 && asked.elapsed() < TOO_SOON {
                    sleep(TOO_SOON).await;
                }
            }
            Err(Trouble::Away { reason, pause }) => patience.wait(&reason, pause).await,
            Err(Trouble::Expired { oldest }) => {
                eprintln!(
                    "events have been missed that are no longer kept; going on from the oldest"
                );
                *cursor = Some(oldest);
            }
            Err(Trouble::Hopeless(reason)) => return reason,
        }
    }
}

/// Forwards what has happened behind the cursor, and answers how much that was.
async fn step(
    server: &mut Server,
    local: &Forward,
    types: &[String],
    cursor: &mut Option<String>,
) -> Result<usize, Trouble> {
    let after = match cursor {
        Some(after) => after.clone(),
        None => cursor.insert(server.now().await?).clone(),
    };
    let events = server.events(&after, types).await?;
    let count = events.len();
    for event in events {
        if !types.is_empty() || event.name != BY_NAME_ONLY {
            deliver(local, &event).await;
        }
        *cursor = Some(event.cursor);
    }
    Ok(count)
}

/// Posts an event until the local server answers anything.
async fn deliver(local: &Forward, event: &Event) {
    let mut patience = Patience::default();
    loop {
        let begun = Instant::now();
        let outcome = match local.post(event).await {
            Outcome::Answered(status) => status.to_string(),
            Outcome::TimedOut => "no answer in time".to_owned(),
            Outcome::Down(reason) => {
                patience
                    .wait(&format!("the local server is down: {reason}"), None)
                    .await;
                continue;
            }
        };
        let at = event.payload["createdAt"].as_str().unwrap_or_default();
        let took = begun.elapsed().as_millis();
        println!(
            "{at}  {:<26} {}  {outcome}  {took} ms",
            event.name, event.id
        );
        return;
    }
}

/// Growing pauses; says once why it waits.
#[derive(Default)]
struct Patience {
    pauses: u32,
}

impl Patience {
    async fn wait(&mut self, reason: &str, pause: Option<Duration>) {
        if self.pauses == 0 {
            eprintln!("waiting: {reason}");
        }
        let growing = Duration::from_millis(500) * 2_u32.pow(self.pauses.min(4));
        self.pauses += 1;
        sleep(pause.unwrap_or(growing.min(LONGEST_PAUSE))).await;
    }
}

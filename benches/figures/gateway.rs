//! This program as the gateway's stand-in, in a process of its own.

use std::io;

use federation_agent::standin::{Estate, Gateway, GatewaySettings};
use tokio::io::AsyncReadExt;

/// Serves the estate that `words` name (`demo`, or `large STAGES BYTES`) until stdin is closed.
pub(crate) async fn serve(words: &[String]) -> io::Result<()> {
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or_default();
    let estate = match words.first().map(String::as_str) {
        Some("large") => Estate::large(number(1), number(2)),
        _ => Estate::demo(),
    };
    let gateway =
        Gateway::bind(([127, 0, 0, 1], 0).into(), GatewaySettings { estate, ..GatewaySettings::default() }).await?;
    println!("{}", gateway.url());
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

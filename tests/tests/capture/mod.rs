//! Everything that is told to `tracing`, as lines of text:
//! `LEVEL target span{fields}: words fields`. A span that begins or closes is a line too.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// What is told while `scenario` runs, at all levels.
pub(crate) fn told(scenario: impl FnOnce()) -> Vec<String> {
    let capture = Capture::default();
    let lines = Arc::clone(&capture.lines);
    let subscriber = tracing_subscriber::registry().with(capture);
    tracing::subscriber::with_default(subscriber, scenario);
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *lines)
}

#[derive(Default)]
struct Capture {
    lines: Arc<Mutex<Vec<String>>>,
}

/// A span as it is shown.
struct Shown(String);

impl Capture {
    fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let metadata = attributes.metadata();
        let shown = format!("{}{{{}}}", metadata.name(), fields.text);
        let Some(span) = context.span(id) else { return };
        let above: Vec<_> = span.scope().skip(1).map(|span| text(&span)).collect();
        span.extensions_mut().insert(Shown(shown.clone()));
        let above = above.iter().rev().map(|span| format!("{span}: "));
        let above: String = above.collect();
        self.push(format!("{}{above}begins {shown}", head(metadata)));
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        self.push(format!("recorded {}", fields.text));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = head(event.metadata());
        let scope = context.event_scope(event);
        for span in scope.into_iter().flat_map(|scope| scope.from_root()) {
            let _ = write!(line, "{}: ", text(&span));
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let _ = write!(line, "{} {}", fields.words, fields.text);
        self.push(line.trim_end().to_owned());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(span) = context.span(&id) {
            self.push(format!("closed {}", text(&span)));
        }
    }
}

fn head(metadata: &Metadata<'_>) -> String {
    format!("{} {} ", metadata.level(), metadata.target())
}

fn text<'a, S: LookupSpan<'a>>(span: &tracing_subscriber::registry::SpanRef<'a, S>) -> String {
    let extensions = span.extensions();
    extensions
        .get::<Shown>()
        .map(|shown| shown.0.clone())
        .unwrap_or_default()
}

#[derive(Default)]
struct Fields {
    words: String,
    text: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.words = format!("{value:?}");
            return;
        }
        let gap = if self.text.is_empty() { "" } else { " " };
        let _ = write!(self.text, "{gap}{}={value:?}", field.name());
    }
}

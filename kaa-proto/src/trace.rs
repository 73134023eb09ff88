//! What the machines tell `tracing`, with the feature of that name. Without it all of this is
//! nothing: no code, no room.
//!
//! The files `trace.rs` of the layers word what is told, so that a place that has something to
//! tell takes one line. The values of an event are worked out only if somebody listens.
//!
//! Nothing secret may be told at any level, and nothing that others wrote and that may quote a
//! secret: no payload, no reason phrase of the platform, no login, no client identifier.

/// Tells something: the last part of the target, the level, fields, and words.
#[cfg(feature = "tracing")]
macro_rules! event {
    ($target:literal, $level:ident, $($told:tt)+) => {
        tracing::event!(
            target: concat!("kaa_proto::", $target),
            tracing::Level::$level,
            $($told)+
        )
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! event {
    ($($told:tt)+) => {{}};
}

/// A new [`Span`] under a parent: the last part of the target, the level, the name, fields.
#[cfg(feature = "tracing")]
macro_rules! span {
    ($parent:expr, $target:literal, $level:ident, $name:literal, $($fields:tt)+) => {
        $crate::trace::Span::new(tracing::span!(
            target: concat!("kaa_proto::", $target),
            parent: $crate::trace::Span::id($parent),
            tracing::Level::$level,
            $name,
            $($fields)+
        ))
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! span {
    ($($told:tt)+) => {
        $crate::trace::Span {}
    };
}

pub(crate) use {event, span};

/// A span, if somebody listens: else it takes a word of memory and nothing more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    #[cfg(feature = "tracing")]
    span: Option<Box<tracing::Span>>,
}

/// There is one with each request: without the feature it takes nothing.
const _: () = assert!(size_of::<Span>() <= size_of::<usize>());
#[cfg(not(feature = "tracing"))]
const _: () = assert!(size_of::<Span>() == 0);

/// Until this is dropped, what is told belongs to the span.
#[must_use]
pub(crate) struct Entered {
    #[cfg(feature = "tracing")]
    _span: Option<tracing::span::EnteredSpan>,
}

impl Span {
    pub(crate) fn enter(&self) -> Entered {
        Entered {
            #[cfg(feature = "tracing")]
            _span: self.span.as_deref().cloned().map(tracing::Span::entered),
        }
    }
}

#[cfg(feature = "tracing")]
impl Span {
    pub(crate) fn new(span: tracing::Span) -> Self {
        let span = (!span.is_disabled()).then(|| Box::new(span));
        Self { span }
    }

    /// The one that the caller is in.
    pub(crate) fn current() -> Self {
        Self::new(tracing::Span::current())
    }

    pub(crate) fn id(&self) -> Option<tracing::Id> {
        self.span.as_ref().and_then(|span| span.id())
    }
}

//! SUBSCRIBE and UNSUBSCRIBE, read by hand: the crate masks reserved bits away, and a list of
//! empty filters would cost it many times its size in memory.

use std::fmt;

use super::event::SubscribeId;
use crate::QoS;
use crate::mqtt::filter::check_received_filter;
use crate::mqtt::packet::{PacketId, PacketType};
use crate::mqtt::publish::packet_id;
use crate::mqtt::violation::Violation;
use crate::topic::shortened;

/// The filters of an UNSUBSCRIBE. `Debug` shortens tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Filters<'a>(&'a [u8]);

impl<'a> Filters<'a> {
    /// Each filter, in order. All are valid.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || std::str::from_utf8(take(&mut rest)?).ok())
    }
}

impl fmt::Debug for Filters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(shortened)).finish()
    }
}

/// The filters of a SUBSCRIBE with the QoS that is asked for. `Debug` shortens tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestedFilters<'a>(&'a [u8]);

impl<'a> RequestedFilters<'a> {
    /// Each filter, in order. All are valid.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, QoS)> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let filter = std::str::from_utf8(take(&mut rest)?).ok()?;
            let (&qos, after) = rest.split_first()?;
            rest = after;
            Some((filter, QoS::from_number(qos)?))
        })
    }
}

impl fmt::Debug for RequestedFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(filter, qos)| (shortened(filter), qos);
        f.debug_list().entries(self.iter().map(shown)).finish()
    }
}

/// Reads what follows the fixed header of a SUBSCRIBE.
pub(super) fn read_subscribe(
    body: &[u8],
) -> Result<(SubscribeId, RequestedFilters<'_>), Violation> {
    let packet = PacketType::Subscribe;
    let (id, list) = read_list(packet, body, |rest| {
        let (&byte, after) = rest.split_first().ok_or(Violation::Length {
            packet,
            length: body.len(),
        })?;
        *rest = after;
        match QoS::from_number(byte) {
            Some(_) => Ok(()),
            None => Err(Violation::RequestedQoS(byte)),
        }
    })?;
    let list = RequestedFilters(list);
    let filters = list.iter().count();
    Ok((SubscribeId { id, filters }, list))
}

/// Reads what follows the fixed header of an UNSUBSCRIBE.
pub(super) fn read_unsubscribe(body: &[u8]) -> Result<(PacketId, Filters<'_>), Violation> {
    let (id, list) = read_list(PacketType::Unsubscribe, body, |_| Ok(()))?;
    Ok((id, Filters(list)))
}

/// Judges a packet identifier and a list of filters, each followed by what `check_after` takes.
fn read_list(
    packet: PacketType,
    body: &[u8],
    check_after: impl Fn(&mut &[u8]) -> Result<(), Violation>,
) -> Result<(PacketId, &[u8]), Violation> {
    let short = Violation::Length {
        packet,
        length: body.len(),
    };
    let (id, list) = body.split_first_chunk().ok_or(short)?;
    let id = packet_id(packet, *id)?;
    if list.is_empty() {
        return Err(Violation::NoFilters(packet));
    }
    let mut rest = list;
    while !rest.is_empty() {
        let filter = take(&mut rest).ok_or(short)?;
        let filter = std::str::from_utf8(filter).map_err(|_| Violation::NotUtf8(packet))?;
        check_received_filter(filter).map_err(|problem| Violation::Topic { packet, problem })?;
        check_after(&mut rest)?;
    }
    Ok((id, list))
}

/// Takes a field with a length of two bytes off the front.
pub(super) fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (field, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
    *rest = after;
    Some(field)
}

/// Takes a text off the front (section 1.5.3).
pub(super) fn take_text<'a>(
    rest: &mut &'a [u8],
    packet: PacketType,
    short: Violation,
) -> Result<&'a str, Violation> {
    let text = take(rest).ok_or(short)?;
    let text = std::str::from_utf8(text).map_err(|_| Violation::NotUtf8(packet))?;
    match text.contains('\0') {
        true => Err(Violation::Nul(packet)),
        false => Ok(text),
    }
}

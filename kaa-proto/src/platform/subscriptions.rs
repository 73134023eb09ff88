//! Who subscribed to what, found by the endpoint that a topic is for.

use std::collections::{BTreeMap, BTreeSet};

use super::options::LinkId;
use crate::mqtt::filter;
use crate::qos::QoS;
use crate::topic;

/// How many filters a link may have; further ones are refused with 0x80. Ten thousand endpoints
/// that use every service need ten times as many.
const MAX_FILTERS: usize = 262_144;

/// The subscriptions of all links.
#[derive(Clone, Default)]
pub(super) struct Subscriptions {
    of_link: BTreeMap<LinkId, Filters>,
    /// Links with filters for exactly one endpoint, by application version and token.
    of_endpoint: BTreeMap<Address, BTreeSet<LinkId>>,
    /// Links with filters for more than that.
    wide: BTreeSet<LinkId>,
}

/// The filters of one link with the QoS that was granted.
#[derive(Clone, Default)]
struct Filters {
    /// Those for exactly one endpoint; `None`: those for more than that. None is empty.
    groups: BTreeMap<Option<Address>, BTreeMap<String, QoS>>,
    count: usize,
    /// About what they take.
    bytes: usize,
}

type Address = (String, String);

impl Subscriptions {
    /// Takes a valid filter, in place of the same one (MQTT-3.8.4-3), if those of the link take no more
    /// than `max_bytes` then. `None` if it is refused.
    pub(super) fn subscribe(
        &mut self,
        link: LinkId,
        filter: &str,
        qos: QoS,
        max_bytes: usize,
    ) -> Option<QoS> {
        let address = address(filter);
        let filters = self.of_link.entry(link).or_default();
        let bytes = filters.bytes + weight(filter);
        let is_full = filters.count >= MAX_FILTERS || bytes > max_bytes;
        let known = filters.groups.get(&address);
        if is_full && !known.is_some_and(|group| group.contains_key(filter)) {
            return None;
        }
        let group = filters.groups.entry(address.clone()).or_default();
        if group.insert(filter.into(), qos).is_none() {
            filters.count += 1;
            filters.bytes = bytes;
        }
        match address {
            None => self.wide.insert(link),
            Some(address) => self.of_endpoint.entry(address).or_default().insert(link),
        };
        Some(qos)
    }

    pub(super) fn unsubscribe(&mut self, link: LinkId, filter: &str) {
        let address = address(filter);
        let Some(filters) = self.of_link.get_mut(&link) else {
            return;
        };
        let Some(group) = filters.groups.get_mut(&address) else {
            return;
        };
        if group.remove(filter).is_some() {
            filters.count -= 1;
            filters.bytes -= weight(filter);
        }
        if group.is_empty() {
            filters.groups.remove(&address);
            self.forget(link, address.as_ref());
        }
    }

    /// About what the subscriptions of a link take, in bytes.
    pub(super) fn bytes(&self, link: LinkId) -> usize {
        self.of_link.get(&link).map_or(0, |filters| filters.bytes)
    }

    /// The link is gone, and its subscriptions with it.
    pub(super) fn remove(&mut self, link: LinkId) {
        let filters = self.of_link.remove(&link).unwrap_or_default();
        for address in filters.groups.into_keys() {
            self.forget(link, address.as_ref());
        }
    }

    /// The links that may have a filter for this topic.
    pub(super) fn candidates(&self, topic: &str) -> BTreeSet<LinkId> {
        let one = address(topic).and_then(|address| self.of_endpoint.get(&address));
        let mut links = self.wide.clone();
        links.extend(one.into_iter().flatten());
        links
    }

    /// The highest QoS that the link was granted for this topic (MQTT-3.3.5-1).
    pub(super) fn granted(&self, link: LinkId, topic: &str) -> Option<QoS> {
        let groups = &self.of_link.get(&link)?.groups;
        let (wide, one) = (groups.get(&None), address(topic));
        let one = one.and_then(|one| groups.get(&Some(one)));
        let filters = wide.into_iter().chain(one).flatten();
        let matching = filters.filter(|(filter, _)| filter::matches(filter, topic));
        matching.map(|(_, &qos)| qos).max()
    }

    fn forget(&mut self, link: LinkId, address: Option<&Address>) {
        let Some(address) = address else {
            self.wide.remove(&link);
            return;
        };
        if let Some(links) = self.of_endpoint.get_mut(address) {
            links.remove(&link);
            if links.is_empty() {
                self.of_endpoint.remove(address);
            }
        }
    }
}

/// About what a filter takes: it stands in a tree, and its address in two more.
const fn weight(filter: &str) -> usize {
    512 + 3 * filter.len()
}

/// The one endpoint that a topic or a filter is for.
fn address(filter: &str) -> Option<Address> {
    let (version, token) = topic::address(filter)?;
    let is_plain = |level: &str| !matches!(level, "+" | "#");
    (is_plain(version) && is_plain(token)).then(|| (version.into(), token.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_by_filters_of_every_width_until_they_unsubscribe() {
        let topic = "kp1/v/dcx/t/json/1/status";
        let filters = [
            "kp1/v/dcx/t/json/#",
            "kp1/v/+/t/#",
            "kp1/+/dcx/t/#",
            "#",
            "kp1/v/dcx/+/json/+/status",
        ];
        for filter in filters {
            let (mut all, link) = (Subscriptions::default(), LinkId::new(1));
            all.subscribe(link, filter, QoS::AtMostOnce, usize::MAX);
            all.subscribe(link, topic, QoS::AtLeastOnce, usize::MAX);
            all.subscribe(
                LinkId::new(2),
                "kp1/v/dcx/other/#",
                QoS::AtLeastOnce,
                usize::MAX,
            );
            assert_eq!(all.granted(link, topic), Some(QoS::AtLeastOnce));
            all.unsubscribe(link, topic);
            assert_eq!(all.candidates(topic), [link].into(), "{filter}");
            assert_eq!(all.granted(link, topic), Some(QoS::AtMostOnce));
            all.unsubscribe(link, filter);
            assert!(all.candidates(topic).is_empty() && all.granted(link, topic).is_none());
        }
    }

    #[test]
    fn a_filter_takes_room_as_often_as_it_stands_somewhere() {
        let (mut all, link) = (Subscriptions::default(), LinkId::new(1));
        assert_eq!(all.bytes(link), 0);
        for (filter, bytes) in [("#", 515), ("kp1/#", 515 + 527), ("#", 515 + 527)] {
            all.subscribe(link, filter, QoS::AtMostOnce, usize::MAX);
            assert_eq!(all.bytes(link), bytes, "{filter}");
        }
        all.unsubscribe(link, "#");
        assert_eq!(all.bytes(link), 527);
    }

    #[test]
    fn a_link_that_is_gone_leaves_nothing_behind() {
        let mut all = Subscriptions::default();
        for filter in ["#", "kp1/v/dcx/t/#", "kp1/v/dcx/u/#"] {
            all.subscribe(LinkId::new(1), filter, QoS::AtMostOnce, usize::MAX);
        }
        all.remove(LinkId::new(1));
        assert!(all.of_link.is_empty() && all.of_endpoint.is_empty() && all.wide.is_empty());
    }
}

//! How many connections may be open at once, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use providers::address::Addresses;

/// The bounds of one listener, and what is open.
#[derive(Debug)]
pub(super) struct Bounds {
    most: usize,
    most_of_one: usize,
    /// Behind these are many callers.
    unbounded: Addresses,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// Too many are open.
    All,
    /// Too many are open from this address.
    Source,
}

/// A place among the open connections, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    bounds: Arc<Bounds>,
    source: Option<IpAddr>,
}

impl Bounds {
    pub(super) fn new(most: usize, most_of_one: usize, unbounded: Addresses) -> Arc<Self> {
        Arc::new(Self { most, most_of_one, unbounded, open: Mutex::default() })
    }

    /// A place for a connection from there, if there is one.
    pub(super) fn take(self: &Arc<Self>, from: IpAddr) -> Result<Place, Full> {
        let source = (!self.unbounded.contains(from)).then(|| source_of(from));
        let mut open = self.open.lock();
        if open.all >= self.most {
            return Err(Full::All);
        }
        if let Some(source) = source {
            let of_one = open.by_source.entry(source).or_default();
            if *of_one >= self.most_of_one {
                return Err(Full::Source);
            }
            *of_one += 1;
        }
        open.all += 1;
        Ok(Place { bounds: Arc::clone(self), source })
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open.lock().all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.bounds.open.lock();
        open.all -= 1;
        let Some(source) = self.source else { return };
        if let Some(of_one) = open.by_source.get_mut(&source) {
            *of_one -= 1;
            if *of_one == 0 {
                open.by_source.remove(&source);
            }
        }
    }
}

/// What counts as one address: with IPv6 a /64, which is what one customer is given at least (RFC 6177).
fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(bounds: &Arc<Bounds>, from: &str) -> Result<Place, Full> {
        bounds.take(from.parse().unwrap())
    }

    #[test]
    fn one_address_has_its_share_and_all_together_have_theirs() {
        let bounds = Bounds::new(3, 2, Addresses::default());
        let (first, _second) =
            (take(&bounds, "192.0.2.1").unwrap(), take(&bounds, "::ffff:192.0.2.1").unwrap());
        assert_eq!(take(&bounds, "192.0.2.1").unwrap_err(), Full::Source);
        let _third = take(&bounds, "192.0.2.2").unwrap();
        assert_eq!(take(&bounds, "192.0.2.3").unwrap_err(), Full::All);
        drop(first);
        let _fourth = take(&bounds, "192.0.2.1").unwrap();
        assert_eq!(bounds.open(), 3);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let bounds = Bounds::new(9, 1, Addresses::default());
        let _one = take(&bounds, "2001:db8:0:1::1").unwrap();
        assert_eq!(take(&bounds, "2001:db8:0:1:ffff::2").unwrap_err(), Full::Source);
        take(&bounds, "2001:db8:0:2::1").unwrap();
    }

    #[test]
    fn a_trusted_proxy_is_bound_by_the_whole_only() {
        let trusted: Addresses = serde_json::from_str(r#"["10.0.0.0/8"]"#).unwrap();
        let bounds = Bounds::new(3, 1, trusted);
        let places: Vec<_> = (0..3).map(|_| take(&bounds, "10.1.1.1").unwrap()).collect();
        assert_eq!(take(&bounds, "10.1.1.1").unwrap_err(), Full::All);
        drop(places);
        assert!(bounds.open.lock().by_source.is_empty() && bounds.open() == 0);
    }
}

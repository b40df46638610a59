//! Who counts as one where addresses are counted.
use std::net::IpAddr;

/// The part of an address that one customer of a network has: all of IPv4, the first 64 bits of
/// IPv6 (RFC 6177).
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

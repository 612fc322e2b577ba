//! Frames as they come wrapped in VXLAN: who is to get them, and their checksums.

/// The header of VXLAN; the frame follows.
const VXLAN: usize = 8;
/// Receiver, sender, type.
const ETHERNET: usize = 14;
const IP: usize = VXLAN + ETHERNET;
const TYPE_IPV4: [u8; 2] = [8, 0];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Who is to get a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiver {
    Host(usize),
    /// A broadcast, or a multicast.
    All,
}

/// The hardware address of a host.
pub(super) fn hardware(host: usize) -> String {
    format!("02:00:00:00:00:{:02x}", host + 1)
}

/// Who is to get the frame in a datagram; `None` if there is none.
pub(super) fn receiver(datagram: &[u8]) -> Option<Receiver> {
    let address = datagram.get(VXLAN..VXLAN + 6)?;
    if address[0] & 1 == 1 {
        return Some(Receiver::All);
    }
    Some(Receiver::Host(usize::from(address[5]).checked_sub(1)?))
}

/// Writes the checksum of TCP or UDP in a frame of IPv4; leaves others alone.
pub(super) fn complete_checksum(datagram: &mut [u8]) {
    let Some((sum_at, start, end)) = checksum_place(datagram) else {
        return;
    };
    datagram[sum_at..sum_at + 2].fill(0);
    let protocol = datagram[IP + 9];
    let length = u16::try_from(end - start).unwrap_or(0);
    let mut sum = u32::from(protocol) + u32::from(length);
    sum += words(&datagram[IP + 12..IP + 20]) + words(&datagram[start..end]);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // In UDP nothing but zero says that there is no sum (RFC 768).
    let sum = match !(sum as u16) {
        0 if protocol == UDP => 0xffff,
        sum => sum,
    };
    datagram[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Where the sum stands, and what it is about.
fn checksum_place(datagram: &[u8]) -> Option<(usize, usize, usize)> {
    if datagram.get(IP - 2..IP)? != TYPE_IPV4 {
        return None;
    }
    let header = usize::from(datagram.get(IP)? & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([
        *datagram.get(IP + 2)?,
        *datagram.get(IP + 3)?,
    ]));
    // Of a fragment only the first has a sum, over what is not all here.
    let fragment = u16::from_be_bytes([*datagram.get(IP + 6)?, *datagram.get(IP + 7)?]) & 0x3fff;
    let offset = match *datagram.get(IP + 9)? {
        TCP => 16,
        UDP => 6,
        _ => return None,
    };
    let (start, end) = (IP + header, IP + total);
    let is_whole = end <= datagram.len() && start + offset + 2 <= end && header >= 20;
    (is_whole && fragment == 0).then_some((start + offset, start, end))
}

fn words(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks(2);
    pairs
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; VXLAN];
        bytes.extend([2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 1]);
        bytes.extend(TYPE_IPV4);
        let total = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
        bytes.extend([
            0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0,
        ]);
        bytes.extend([10, 77, 0, 1, 10, 77, 0, 3]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn the_receiver_is_the_host_of_the_hardware_address() {
        assert_eq!(receiver(&datagram(TCP, &[])), Some(Receiver::Host(2)));
        assert_eq!(hardware(2), "02:00:00:00:00:03");
        let mut all = datagram(TCP, &[]);
        all[VXLAN] = 0xff;
        assert_eq!(receiver(&all), Some(Receiver::All));
        assert_eq!(receiver(&[0; 9]), None);
    }

    #[test]
    fn a_completed_sum_comes_to_nothing_with_all_that_it_is_about() {
        for (protocol, length) in [(TCP, 21), (TCP, 40), (UDP, 8), (UDP, 13)] {
            let payload: Vec<u8> = (1..=length).collect();
            let mut whole = datagram(protocol, &payload);
            complete_checksum(&mut whole);
            let mut sum = words(&whole[IP + 12..]) + u32::from(protocol) + u32::from(length);
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            assert_eq!(sum, 0xffff);
        }
    }

    #[test]
    fn what_is_cut_short_is_left_alone() {
        let whole = datagram(TCP, &[7; 24]);
        for length in 0..whole.len() {
            let mut short = whole[..length].to_vec();
            complete_checksum(&mut short);
            assert_eq!(short, whole[..length]);
        }
    }
}

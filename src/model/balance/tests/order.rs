//! Whose turn it is, from the start, over the end of a round and after changes, as HAProxy 3.4 showed it.

use super::*;

#[test]
fn roundrobin_goes_in_haproxys_order() {
    for (weights, seen) in [
        (&[1, 1, 1][..], "123123123"),
        (&[2, 1], "112112"),
        (&[1, 2], "221221"),
        (&[3, 2], "1121211212"),
        (&[3, 4], "22121212212121"),
        (&[2, 5], "22212212221221"),
        (&[3, 7], "22212212212221221221"),
        (&[3, 3, 1], "12121231212123"),
        (&[5, 5, 1], "1212121212312121212123"),
        (&[1, 3, 2], "232123232123"),
        (&[2, 3, 3], "2323123213231232"),
        (&[1, 2, 5], "3323313233233132"),
        (&[3, 4, 5], "323123231321323123231321"),
        (&[1, 1, 5], "33313323331332"),
        (&[5, 3], "1121211211212112"),
        (&[1, 2, 3, 4], "43423414324342341432"),
        (&[7, 2, 3, 1], "11312131412311131213141231"),
        (&[3, 1, 4, 1, 5], "5351352135453153513521354531"),
        (&[2, 2, 2, 3, 3], "451245341524351245341524"),
        (&[1, 1, 1, 1, 5], "551525354551525354"),
        (&[10, 20, 30], "323132323132323132"),
    ] {
        assert_eq!(order(weights, Balance::Roundrobin, seen.len() as u64), seen, "{weights:?}");
    }
}

/// A round has sixteen turns for each unit of weight; all begin anew in the next.
#[test]
fn roundrobin_begins_anew_after_a_round() {
    let seen = order(&[2, 3, 3], Balance::Roundrobin, 264);
    assert_eq!(&seen[112..152], "1323123213231232323123213231232132312321");
    assert_eq!(&seen[248..], "3231232323123213");
}

#[test]
fn roundrobin_goes_on_in_haproxys_order_when_weights_change() {
    let mut plan = plan(&[2, 9, 17, 16, 13]);
    let mut balancer = balancer(&mut plan, Balance::Roundrobin);
    let live = Live::new(&plan);
    for (changes, seen) in [
        (&[][..], "345342534"),
        (&[(4, 7), (2, 5)], "1244243542454234452143245424354245423412"),
        (&[(2, 4)], "4542453424542434521424542345424542341245"),
        (&[(4, 4)], "42443254424"),
        (&[(3, 17)], "442345142442345424"),
    ] {
        for (server, weight) in changes {
            live.set_weight(0, *server, *weight, Millis(1));
        }
        assert_eq!(sequence(&mut balancer, &live, seen.len() as u64), seen, "{changes:?}");
    }
}

/// What is laid out ahead is taken back by a change, wherever it comes: one worker at a time sees the same as four.
#[test]
fn changes_at_any_turn_are_the_same_for_any_number_of_workers() {
    for turns in 0..80 {
        let run = |workers: usize| {
            let mut plan = plan(&[3, 5, 2]);
            let mut workers: Vec<_> = (0..workers).map(|_| balancer(&mut plan, Balance::Roundrobin)).collect();
            let live = Live::new(&plan);
            let count = workers.len();
            let mut turn = 0;
            let mut some = |n: usize| -> String {
                let pick = |_| {
                    turn += 1;
                    digit(workers[turn * 7 % count].pick(Key::None, None, live.backend(0), at(turn as u64)))
                };
                (0..n).map(pick).collect()
            };
            let before = some(turns);
            live.set_admin(0, 1, AdminState::Maint, Millis(1));
            let without = some(turns % 7);
            live.set_admin(0, 1, AdminState::Ready, Millis(2));
            live.set_weight(0, 2, 9, Millis(3));
            [before, without, some(60)]
        };
        assert_eq!(run(1), run(4), "after {turns}");
    }
}

#[test]
fn static_rr_goes_in_haproxys_order() {
    for (weights, seen) in [
        (&[1, 1, 1][..], "123123"),
        (&[1, 5], "122222122222"),
        (&[3, 2, 1], "112123112123"),
        (&[1, 2, 3], "132323132323"),
        (&[5, 3, 2], "1121312123"),
        (&[100, 50, 30], "112123111213121213"),
        (&[4, 4, 1, 3, 9, 2, 7], "123574517524756157254715275567"),
        (&[2, 3, 3], "12312323"),
        (&[2, 1, 1], "1123"),
        (&[8, 2, 3, 3, 199, 203], "1256565656565656565665656565656565356565665656"),
        (&[30, 41, 149, 210], "1234434343424341434342434343414342344343424314"),
    ] {
        assert_eq!(order(weights, Balance::StaticRr, seen.len() as u64), seen, "{weights:?}");
    }
}

#[test]
fn a_hash_without_a_key_goes_round() {
    let mut plan = plan(&[1, 1, 1]);
    let mut balancer = balancer(&mut plan, Balance::Hdr { name: "x".into(), use_domain_only: false });
    assert_eq!(sequence(&mut balancer, &Live::new(&plan), 6), "123123");
}

#[test]
fn streams_without_a_key_walk_the_map_or_the_ring_in_haproxys_order() {
    for (consistent, weights, seen) in [
        (true, [1, 1, 1, 1], "3443424131412311122313323124"),
        (true, [10, 20, 5, 1], "2312223323232222224231111314"),
        (true, [256, 100, 3, 7], "1112123121224212211211111121"),
        (false, [10, 20, 5, 1], "1221223122122312212231223122"),
        (false, [256, 100, 3, 7], "1112112112111211211211121121"),
    ] {
        let mut plan = plan(&weights);
        plan.proxies[0].backend.hash.consistent = consistent;
        let mut balancer = balancer(&mut plan, Balance::Hdr { name: "x".into(), use_domain_only: false });
        assert_eq!(sequence(&mut balancer, &Live::new(&plan), 28), seen, "{consistent} {weights:?}");
    }
}

/// The map's unit is that of all servers, so that six places are walked while two of weight 3 are left.
#[test]
fn the_walk_over_a_map_goes_on_where_it_was() {
    for (balance, back) in [
        (Balance::StaticRr, "232312312323"),
        (Balance::Hdr { name: "x".into(), use_domain_only: false }, "232312312323"),
    ] {
        let mut plan = plan(&[2, 3, 3]);
        let mut balancer = balancer(&mut plan, balance);
        let live = Live::new(&plan);
        live.set_admin(0, 0, AdminState::Maint, Millis(1));
        assert_eq!(sequence(&mut balancer, &live, 40), "23".repeat(20));
        live.set_admin(0, 0, AdminState::Ready, Millis(2));
        assert_eq!(sequence(&mut balancer, &live, 12), back);
    }
}

/// HAProxy goes on behind the next point when the last one has left.
#[test]
fn the_walk_over_a_ring_goes_on_where_it_was() {
    let mut plan = plan(&[1, 1]);
    plan.proxies[0].backend.hash.consistent = true;
    let mut balancer = balancer(&mut plan, Balance::Hdr { name: "x".into(), use_domain_only: false });
    let live = Live::new(&plan);
    assert_eq!(sequence(&mut balancer, &live, 5), "21112");
    live.set_admin(0, 1, AdminState::Maint, Millis(1));
    assert_eq!(sequence(&mut balancer, &live, 10), "1".repeat(10));
    live.set_admin(0, 1, AdminState::Ready, Millis(2));
    assert_eq!(sequence(&mut balancer, &live, 9), "112212121");
}

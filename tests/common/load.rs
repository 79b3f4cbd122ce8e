//! Small load for tests that count failures or look at the process meanwhile; not a benchmark.

use super::client::Client;
use super::http::status;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Clients that ask again and again, each on a new connection, until stopped; what they got is counted.
pub struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Mutex<BTreeMap<u16, usize>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    pub fn start(port: u16, clients: usize, keep_alive: bool) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let threads = (0..clients)
            .map(|_| {
                let (stop, counts) = (stop.clone(), counts.clone());
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let Ok(mut client) = Client::try_connect_to(([127, 0, 0, 1], port).into()) else {
                            *counts.lock().expect("counts").entry(0).or_insert(0) += 1;
                            continue;
                        };
                        for _ in 0..if keep_alive { 50 } else { 1 } {
                            client.send("GET /load HTTP/1.1\r\nhost: load\r\n\r\n");
                            let code = status(&client.response()).unwrap_or(0);
                            *counts.lock().expect("counts").entry(code).or_insert(0) += 1;
                            if code != 200 || stop.load(Ordering::Relaxed) {
                                break;
                            }
                        }
                    }
                })
            })
            .collect();
        Load { stop, counts, threads }
    }

    /// Answers so far by status; 0 is a connection that ended without one, or did not come about.
    pub fn counts(&self) -> BTreeMap<u16, usize> {
        self.counts.lock().expect("counts").clone()
    }

    pub fn stop(mut self) -> BTreeMap<u16, usize> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a load client");
        }
        self.counts()
    }
}

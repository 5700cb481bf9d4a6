//! What a case runs in: ports of one backend, with queues, tables and rules of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sedano::aws::Aws;
use sedano::memory::{Memory, QueueSettings, TokioClock};
use sedano::ports::{Bus, Clock, Entropy, Ports, Queue, QueueName, Rule, Store};
use sedano::{Config, OsEntropy, SeededEntropy, StoreWrites};
use sedano_tests::emulator::Emulator;
use sedano_tests::setup::{Setup, settings};

/// Where a case runs.
#[derive(Clone)]
pub(crate) enum Backend {
    Memory,
    Emulator {
        emulator: Emulator,
        url: Arc<str>,
        setup: Arc<Setup>,
    },
}

impl Backend {
    pub(crate) fn is(&self, wanted: Emulator) -> bool {
        matches!(self, Backend::Emulator { emulator, .. } if *emulator == wanted)
    }
}

/// One case's own world.
pub(crate) struct World {
    backend: Backend,
    mode: StoreWrites,
    prefix: String,
}

impl World {
    pub(crate) fn new(backend: Backend, mode: StoreWrites) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // An emulator may outlive this process, so a number alone is not its own.
        let mut random = [0; 4];
        OsEntropy.fill(&mut random);
        let prefix = format!("sedano-{:08x}-{number}", u32::from_le_bytes(random));
        Self {
            backend,
            mode,
            prefix,
        }
    }

    /// What every name of this world begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether independent writes go in batches, which tell less of what was there.
    pub(crate) fn is_batching(&self) -> bool {
        self.mode == StoreWrites::Batch
    }

    /// A clock by which the backend's time passes.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(TokioClock::system())
    }

    fn memory(&self) -> Memory {
        let mut config = Config::memory();
        config.queues.clear();
        config.store_writes = self.mode;
        Memory::with(&config, self.clock(), Arc::new(SeededEntropy::new(1)))
    }

    fn aws(&self, config: &Config, url: &str) -> Aws {
        Aws::new(config, &settings(url)).expect("no certificates are read for plain HTTP")
    }

    /// Queues by name, a dead-letter queue before those that name it.
    pub(crate) async fn queues(&self, queues: &[(&str, QueueSettings)]) -> Arc<dyn Queue> {
        match &self.backend {
            Backend::Memory => {
                let memory = self.memory();
                for (name, settings) in queues {
                    memory.queue().define(name, settings.clone());
                }
                memory.ports().queue
            }
            Backend::Emulator { url, setup, .. } => {
                let mut urls = HashMap::new();
                for (name, settings) in queues {
                    let real = format!("{}-{name}", self.prefix);
                    let url = setup.queue(&real, settings, &urls).await.expect("a queue");
                    urls.insert(QueueName::new(name), url);
                }
                self.queues_at(urls, url)
            }
        }
    }

    fn queues_at(&self, urls: HashMap<QueueName, String>, url: &str) -> Arc<dyn Queue> {
        let mut config = Config::memory();
        config.queues = urls.into_iter().collect();
        self.aws(&config, url).ports().queue
    }

    /// A queue that the settings name and the service doesn't know. In memory there is none: what
    /// isn't defined isn't named.
    pub(crate) fn vanished_queue(&self, name: &str) -> Arc<dyn Queue> {
        match &self.backend {
            Backend::Memory => self.memory().ports().queue,
            Backend::Emulator { url, .. } => {
                let gone = format!("{url}/000000000000/{}-{name}", self.prefix);
                self.queues_at([(QueueName::new(name), gone)].into(), url)
            }
        }
    }

    fn config(&self) -> Config {
        let mut config = Config::memory();
        config.results_table = format!("{}-results", self.prefix);
        config.state_table = format!("{}-state", self.prefix);
        config.store_writes = self.mode;
        config
    }

    /// Both tables.
    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        match &self.backend {
            Backend::Memory => self.memory().ports().store,
            Backend::Emulator { url, setup, .. } => {
                let config = self.config();
                setup
                    .table(&config.results_table, &["id"])
                    .await
                    .expect("a table");
                setup
                    .table(&config.state_table, &["pk", "sk"])
                    .await
                    .expect("a table");
                self.aws(&config, url).ports().store
            }
        }
    }

    /// A store whose tables the service doesn't know.
    pub(crate) fn vanished_store(&self) -> Option<Arc<dyn Store>> {
        match &self.backend {
            Backend::Memory => None,
            Backend::Emulator { url, .. } => Some(self.aws(&self.config(), url).ports().store),
        }
    }

    /// A bus with these rules, and maybe those of others.
    pub(crate) async fn bus(&self, rules: &[Rule]) -> Arc<dyn Bus> {
        match &self.backend {
            Backend::Memory => {
                let memory = self.memory();
                rules
                    .iter()
                    .for_each(|rule| memory.bus().put_rule(rule.clone()));
                memory.ports().bus
            }
            Backend::Emulator { url, setup, .. } => {
                for rule in rules {
                    setup.rule(rule).await.expect("a rule");
                }
                self.aws(&self.config(), url).ports().bus
            }
        }
    }

    /// The ports that need nothing set up.
    pub(crate) fn ports(&self) -> Ports {
        match &self.backend {
            Backend::Memory => {
                let clock = Arc::new(TokioClock::system());
                Memory::with(&Config::memory(), clock, Arc::new(OsEntropy)).ports()
            }
            Backend::Emulator { url, .. } => self.aws(&self.config(), url).ports(),
        }
    }

    /// Ports with a results table and a default queue.
    pub(crate) async fn ports_with_setup(&self) -> Ports {
        let Backend::Emulator { url, setup, .. } = &self.backend else {
            return self.ports();
        };
        let mut config = self.config();
        let table = setup.table(&config.results_table, &["id"]);
        table.await.expect("a table");
        let name = format!("{}-default", self.prefix);
        let (settings, others) = (QueueSettings::default(), HashMap::new());
        let queue = setup.queue(&name, &settings, &others);
        let queue = queue.await.expect("a queue");
        config.queues = [(QueueName::new(QueueName::DEFAULT), queue)].into();
        self.aws(&config, url).ports()
    }

    /// Ports with neither: their names are known to the settings only.
    pub(crate) fn ports_without_setup(&self) -> Ports {
        let Backend::Emulator { url, .. } = &self.backend else {
            return self.memory().ports();
        };
        let mut config = self.config();
        let queue = format!("{url}/000000000000/{}-none", self.prefix);
        config.queues = [(QueueName::new(QueueName::DEFAULT), queue)].into();
        self.aws(&config, url).ports()
    }
}

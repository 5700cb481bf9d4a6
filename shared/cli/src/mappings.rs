//! Event source mappings: what has Lambda read a queue. A queue is paused by switching its own off.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::EventSourceMappingConfiguration;

use sedano::ports::Clock;

use crate::failure::{Exit, Failure, Result, with_causes};

/// Those of an account in a region.
pub(crate) struct Mappings {
    client: Client,
}

/// How long Lambda may take to start or stop reading.
const WITHIN: Duration = Duration::from_secs(120);

impl Mappings {
    pub(crate) fn of(sdk: &SdkConfig) -> Self {
        Self {
            client: Client::new(sdk),
        }
    }

    /// Switches every mapping of the queue on or off, and waits until it is: only then what is sent stays there, or
    /// comes out of it.
    ///
    /// # Errors
    /// Not found, if no function reads the queue; other, if Lambda refuses or isn't done in two minutes.
    pub(crate) async fn set_enabled(
        &self,
        queue: &str,
        arn: &str,
        enabled: bool,
        clock: &dyn Clock,
    ) -> Result<()> {
        let mappings = self.of_queue(queue, arn).await?;
        if mappings.is_empty() {
            let what =
                format!("no function reads the queue `{queue}`: it has no event source mapping");
            return Err(Failure::new(Exit::NotFound, what));
        }
        for id in mappings
            .iter()
            .filter_map(EventSourceMappingConfiguration::uuid)
        {
            let update = self.client.update_event_source_mapping().uuid(id);
            let answer = update.enabled(enabled).send().await;
            answer.map_err(|error| refused("change", queue, &with_causes(&error)))?;
        }
        let wanted = if enabled { "Enabled" } else { "Disabled" };
        let until = clock.now() + WITHIN;
        loop {
            let mappings = self.of_queue(queue, arn).await?;
            let states = mappings.iter().map(|one| one.state().unwrap_or_default());
            let Some(state) = states.into_iter().find(|state| *state != wanted) else {
                return Ok(());
            };
            if clock.now() > until {
                let what = format!(
                    "the event source mapping of `{queue}` is {state} and not {wanted} after {WITHIN:?}: look at it in \
                     Lambda's console"
                );
                return Err(Failure::new(Exit::Other, what));
            }
            clock.sleep(Duration::from_secs(1)).await;
        }
    }

    async fn of_queue(
        &self,
        queue: &str,
        arn: &str,
    ) -> Result<Vec<EventSourceMappingConfiguration>> {
        let list = self.client.list_event_source_mappings();
        let answer = list.event_source_arn(arn).send().await;
        let answer = answer.map_err(|error| refused("list", queue, &with_causes(&error)))?;
        Ok(answer.event_source_mappings.unwrap_or_default())
    }
}

fn refused(what: &str, queue: &str, why: &str) -> Failure {
    let what =
        format!("Lambda didn't {what} the event source mappings of the queue `{queue}`: {why}");
    Failure::new(Exit::Other, what)
}

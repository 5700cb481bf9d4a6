//! Groups in messages: the one that sends a group's members, and the place of each in its group.

use serde_json::{Map, Value, json};

use crate::canvas::{self, Fails, GROUP, read};
use crate::error::{Error, ErrorKind, Result};
use crate::signature::Expires;
use crate::time::Timestamp;

use super::{FanOut, Fields, Member, Message, Part};

impl Fields {
    /// The group that the message is to send, if it is a group's.
    pub(super) fn fan_out(&mut self) -> Result<Option<Box<FanOut>>> {
        let kind = match (self.has("group"), self.has("chord")) {
            (false, false) => return Ok(None),
            (true, false) => "group",
            (false, true) => "chord",
            (true, true) => {
                return Err(Error::new(
                    ErrorKind::Decode,
                    "the message has both `group` and `chord`: it can be one of them only",
                ));
            }
        };
        let members = self.list(kind)?;
        for (place, member) in members.iter().enumerate() {
            let of = format!("member {} of the message's {kind}", place + 1);
            read(member.clone(), &of)?;
        }
        let body = self.take("body");
        match &body {
            Some(body) => drop(read(body.clone(), "the body of the message's chord")?),
            None if kind == "chord" && !self.has("part") => {
                return Err(Error::new(
                    ErrorKind::Decode,
                    "the message's chord has no `body`: without one it is a `group`",
                ));
            }
            None => {}
        }
        let fails = self.fails()?;
        let part = self.part()?;
        let check = self.opened()?;
        Ok(Some(Box::new(FanOut {
            members,
            body,
            fails,
            part,
            check,
        })))
    }

    /// What the failure of a member does.
    pub(crate) fn fails(&mut self) -> Result<Fails> {
        let Some(word) = self.text("on_failure")? else {
            return Ok(Fails::default());
        };
        let mut all = Fails::ALL.into_iter();
        all.find_map(|(fails, name)| (name == word).then_some(fails))
            .ok_or_else(|| self.wrong("on_failure", "one of \"wait\", \"fast\" and \"collect\""))
    }

    fn part(&mut self) -> Result<Option<Part>> {
        let Some(mut part) = self.inside("part")? else {
            return Ok(None);
        };
        Ok(Some(Part {
            first: part.count("first")?.unwrap_or(0),
            size: part.count("size")?.unwrap_or(0),
        }))
    }

    fn opened(&mut self) -> Result<Option<Timestamp>> {
        match self.moment("check")? {
            None => Ok(None),
            Some(Expires::At(opened)) => Ok(Some(opened)),
            Some(Expires::After(_)) => Err(self.wrong("check", "an ISO 8601 date-time")),
        }
    }

    pub(super) fn member(&mut self) -> Result<Option<Member>> {
        let Some(mut member) = self.inside("member")? else {
            return Ok(None);
        };
        let needed = |fields: &Fields, name: &str| fields.wrong(name, "there");
        let group = member.text("group")?;
        let index = member.count("index")?;
        let size = member.count("size")?;
        Ok(Some(Member {
            group: group.ok_or_else(|| needed(&member, "group"))?,
            index: index.ok_or_else(|| needed(&member, "index"))?,
            size: size.ok_or_else(|| needed(&member, "size"))?,
            fast: member.flag("fast")?.unwrap_or(false),
        }))
    }

    /// Steps, each of which can be read.
    pub(super) fn steps(&mut self, name: &str) -> Result<Vec<Value>> {
        let list = match self.take(name) {
            Some(one @ Value::Object(_)) if name != "chain" => vec![one],
            None => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(self.wrong(name, "a list of steps")),
        };
        for (place, step) in list.iter().enumerate() {
            read(
                step.clone(),
                &format!("step {} of the message's `{name}`", place + 1),
            )?;
        }
        Ok(list)
    }
}

impl Member {
    pub(super) fn to_json(&self) -> Value {
        let mut member = json!({ "group": self.group, "index": self.index, "size": self.size });
        if self.fast
            && let Value::Object(map) = &mut member
        {
            map.insert("fast".to_owned(), true.into());
        }
        member
    }
}

impl FanOut {
    /// The message that has a worker look at a group, which was opened within ten minutes of then.
    pub(crate) fn check(group: &str, opened: Timestamp) -> Message {
        let mut message = Message::new(group, GROUP);
        message.fan_out = Some(Box::new(Self {
            members: Vec::new(),
            body: None,
            fails: Fails::default(),
            part: None,
            check: Some(opened),
        }));
        message
    }

    /// How many members the whole group has.
    pub(crate) fn size(&self) -> usize {
        match self.part {
            Some(part) => usize::try_from(part.size).unwrap_or(usize::MAX),
            None => self.members.len(),
        }
    }

    pub(super) fn write(&self, map: &mut Map<String, Value>) {
        let kind = match self.body {
            Some(_) => "chord",
            None => "group",
        };
        map.insert(kind.to_owned(), self.members.clone().into());
        if let Some(body) = &self.body {
            map.insert("body".to_owned(), body.clone());
        }
        if self.fails != Fails::default() {
            map.insert("on_failure".to_owned(), canvas::word(self.fails).into());
        }
        if let Some(part) = self.part {
            let part = json!({ "first": part.first, "size": part.size });
            map.insert("part".to_owned(), part);
        }
        if let Some(opened) = self.check {
            map.insert("check".to_owned(), opened.to_string().into());
        }
    }
}

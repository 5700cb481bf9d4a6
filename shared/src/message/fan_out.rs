//! Groups in messages: the one that sends a group's members, and the place of each in its group.

use serde_json::{Map, Value, json};

use crate::canvas::{self, Canvas, Fails, GROUP, read};
use crate::error::{Error, ErrorKind, Result};
use crate::id;
use crate::signature::Expires;
use crate::time::Timestamp;

use super::{FanOut, Fields, MOST, Member, Message, Part};

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
        let part = self.part(members.len())?;
        if members.len() > widened(MOST) {
            return Err(self.wrong(kind, &format!("a list of at most {MOST} members")));
        }
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

    /// The place of so many members in their group.
    fn part(&mut self, members: usize) -> Result<Option<Part>> {
        let Some(mut part) = self.inside("part")? else {
            return Ok(None);
        };
        let first = part.count("first")?.unwrap_or(0);
        let size = part.count("size")?.unwrap_or(0);
        if widened(first).saturating_add(members) > widened(size) {
            let wanted = "no less than `first` and the number of its members together";
            return Err(part.wrong("size", wanted));
        }
        Ok(Some(Part {
            first,
            size,
            kept: part.flag("kept")?.unwrap_or(false),
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
        let group = group.ok_or_else(|| needed(&member, "group"))?;
        let index = member.count("index")?;
        let index = index.ok_or_else(|| needed(&member, "index"))?;
        let size = member.count("size")?;
        let size = size.ok_or_else(|| needed(&member, "size"))?;
        if !id::is_valid(&group) {
            return Err(member.wrong("group", id::RULE));
        }
        if index >= size {
            return Err(member.wrong("index", "less than `size`"));
        }
        Ok(Some(Member {
            group,
            index,
            size,
            fast: member.flag("fast")?.unwrap_or(false),
            stands: member.flag("stands")?.unwrap_or(false),
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
        for (name, flag) in [("fast", self.fast), ("stands", self.stands)] {
            if flag && let Value::Object(map) = &mut member {
                map.insert(name.to_owned(), true.into());
            }
        }
        member
    }
}

impl Message {
    /// The message, or, of a group with more members than fit into so many bytes, several with some of them
    /// each. The first begins the group: the others may come before it, late, or twice.
    ///
    /// # Errors
    /// `Encode`, for what can't be written.
    pub(crate) fn split(self, most: usize) -> Result<Vec<Self>> {
        let Some(fan_out) = &self.fan_out else {
            return Ok(vec![self]);
        };
        let lengths: Vec<usize> = fan_out
            .members
            .iter()
            .map(|member| member.to_string().len() + 1)
            .collect();
        let head = self.part(0, 0).encode()?.len();
        let room = most.saturating_sub(head).saturating_sub(ROOM);
        if lengths.iter().sum::<usize>() <= room {
            return Ok(vec![self]);
        }
        let (mut parts, mut first, mut bytes) = (Vec::new(), 0, 0);
        for (place, length) in lengths.iter().enumerate() {
            if bytes + length > room && place > first {
                parts.push(self.part(first, place));
                (first, bytes) = (place, 0);
            }
            bytes += length;
        }
        parts.push(self.part(first, lengths.len()));
        Ok(parts)
    }

    /// The message of what stands for this one's task: a group of one, which what follows the task follows.
    ///
    /// # Errors
    /// `Encode` or `TooLarge`, for what can't travel.
    pub(crate) fn standing_for(&self, by: Canvas) -> Result<Self> {
        let mut message = self.clone();
        GROUP.clone_into(&mut message.task);
        message.args = Vec::new();
        message.kwargs = Map::new();
        (message.eta, message.expires) = (None, None);
        message.results_of = None;
        message.fan_out = Some(Box::new(FanOut {
            members: vec![canvas::write(by)?],
            body: None,
            fails: Fails::Stands,
            part: None,
            check: None,
        }));
        let bytes = message.encode()?.len();
        if bytes > RECORDED {
            let what = format!(
                "what is to stand for the task has {bytes} bytes; a record holds {RECORDED}: give its tasks \
                 references in place of the data"
            );
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        Ok(message)
    }

    /// The message with so many members at most, and others for the rest of them. Whoever splits it has kept
    /// them all.
    pub(crate) fn split_by_count(&self, most: usize) -> impl Iterator<Item = Self> + '_ {
        let whole = self.fan_out.iter();
        whole.flat_map(move |whole| {
            let size = narrowed(whole.size());
            let chunks = whole.members.chunks(most).enumerate();
            chunks.map(move |(place, members)| {
                let first = whole.first() + narrowed(place * most);
                let part = Part {
                    first,
                    size,
                    kept: true,
                };
                self.with_members(part, members.to_vec())
            })
        })
    }

    /// The message of some of its members, which nobody has kept.
    fn part(&self, from: usize, to: usize) -> Self {
        let Some(whole) = &self.fan_out else {
            return self.clone();
        };
        let part = Part {
            first: whole.first() + narrowed(from),
            size: narrowed(whole.size()),
            kept: false,
        };
        let members = whole.members.get(from..to).unwrap_or_default();
        self.with_members(part, members.to_vec())
    }

    /// The message of these members of its group. What follows the group is in that of the first.
    pub(crate) fn with_members(&self, part: Part, members: Vec<Value>) -> Self {
        let mut message = Message {
            fan_out: None,
            ..self.clone()
        };
        let Some(whole) = &self.fan_out else {
            return message;
        };
        if part.first > 0 {
            (message.chain, message.link, message.link_error) = Default::default();
            message.member = None;
        }
        message.fan_out = Some(Box::new(FanOut {
            members,
            body: whole.body.clone().filter(|_| part.first == 0),
            fails: whole.fails,
            part: Some(part),
            check: None,
        }));
        message
    }
}

/// How many bytes of a message have room in a record, beside a result or an error.
pub(crate) const RECORDED: usize = 300 * 1024;
/// What the fields of a part may add to a message.
const ROOM: usize = 1024;

fn widened(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn narrowed(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
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

    /// The place of its first member in the group.
    pub(crate) fn first(&self) -> u32 {
        self.part.map_or(0, |part| part.first)
    }

    /// How many members the whole group has.
    pub(crate) fn size(&self) -> usize {
        match self.part {
            Some(part) => widened(part.size),
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
            let mut fields = json!({ "first": part.first, "size": part.size });
            if part.kept
                && let Value::Object(fields) = &mut fields
            {
                fields.insert("kept".to_owned(), true.into());
            }
            map.insert("part".to_owned(), fields);
        }
        if let Some(opened) = self.check {
            map.insert("check".to_owned(), opened.to_string().into());
        }
    }
}

/**
 * Relevant answer: rebuilds an answer from what belongs to its question, and from nothing else (RFC 5452 section 6).
 *
 * From the answer section, the chain that leads from the question's name over CNAMEs; from the authority section, why
 * there is no answer, and what a validator needs; from the rest, the OPT record without its options. What an upstream,
 * or anyone who speaks for it, says of other names reaches neither clients nor the cache.
 */
import {
  HEADER_SIZE,
  parse,
  type Parsed,
  RCODE_NAME_ERROR,
  RCODE_NO_ERROR,
  responseCode,
} from "./message.ts";
import { type DomainName, isInDomain, MessageWriter, NameReader } from "./names.ts";

const TYPE_CNAME = 5;
const TYPE_SOA = 6;
const TYPE_DNAME = 39;
const TYPE_OPT = 41;
const TYPE_RRSIG = 46;
const TYPE_NSEC = 47;
const TYPE_NSEC3 = 50;
const TYPE_ANY = 255;
const CLASS_ANY = 255;
const FLAG_TRUNCATED = 0x0200;
/** CNAMEs that are followed; resolvers follow about as many. */
const MAX_CHAIN = 16;
/** Seconds; nobody should live with a mistake longer than that, nor with what was not there (RFC 2308 section 5). */
const MAX_TIME_TO_LIVE = 86_400;
const MAX_NEGATIVE_TIME_TO_LIVE = 10_800;
/** Bytes of the five numbers at the end of an SOA's data. */
const SOA_NUMBERS_SIZE = 20;

/**
 * Names in the data of types that may have pointers there (RFC 3597 section 4): how many bytes stand before the first
 * one, how many names there are, and whether we may compress them, which is for the types of RFC 1035 alone.
 */
const NAMES_IN_DATA: ReadonlyMap<number, NamesInData> = new Map<number, NamesInData>([
  ...[2, 3, 4, TYPE_CNAME, 7, 8, 9, 12].map((type) => entry(type, 0, 1, true)),
  ...[TYPE_SOA, 14].map((type) => entry(type, 0, 2, true)),
  entry(15, 2, 1, true),
  entry(17, 0, 2, false),
  ...[18, 21, 36].map((type) => entry(type, 2, 1, false)),
  entry(24, 18, 1, false),
  entry(26, 2, 2, false),
  ...[30, TYPE_DNAME].map((type) => entry(type, 0, 1, false)),
  entry(33, 6, 1, false),
]);

interface NamesInData {
  readonly before: number;
  readonly names: number;
  readonly mayCompress: boolean;
}

const NO_NAMES: NamesInData = { before: 0, names: 0, mayCompress: false };

function entry(
  type: number,
  before: number,
  names: number,
  mayCompress: boolean,
): [number, NamesInData] {
  return [type, { before, names, mayCompress }];
}

interface ResourceRecord {
  readonly section: number;
  readonly owner: DomainName;
  readonly type: number;
  readonly recordClass: number;
  readonly timeToLive: number;
  /** Where its data are. */
  readonly data: number;
  readonly end: number;
}

/** A message, and its names. */
interface Source {
  readonly message: Uint8Array;
  readonly view: DataView;
  readonly names: NameReader;
}

/** The names that a question leads to. */
interface Chain {
  /** By their keys, the question's own among them. */
  readonly names: ReadonlySet<string>;
  /** The keys of all domains that these are in. */
  readonly domains: ReadonlySet<string>;
  readonly last: DomainName;
}

const ANSWER = 0;
const AUTHORITY = 1;
const ADDITIONAL = 2;

/**
 * The answer with what belongs to its question.
 *
 * @param dnssecOk whether the asker wants the records that prove it
 * @returns with the seconds for which it may be kept; null where the message cannot be followed
 */
export function relevantAnswer(
  message: Uint8Array,
  { dnssecOk }: { dnssecOk: boolean },
): { answer: Uint8Array<ArrayBuffer>; parsed: Parsed } | null {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const source = { message, view, names: new NameReader(message) };
  const question = source.names.read(HEADER_SIZE);
  if (question === null || question.end + 4 > message.length) return null;
  const type = view.getUint16(question.end);
  const recordClass = view.getUint16(question.end + 2);
  const all = readRecords(source, question.end + 4);
  if (all === null) return null;
  const records = all.filter((record) =>
    record.type === TYPE_OPT || record.recordClass === recordClass || recordClass === CLASS_ANY
  );
  const chain = followChain(source, records, { question: question.name, type });
  if (chain === null) return null;
  const kept = records.filter((record) => belongs(record, { view, chain, dnssecOk }));
  const options = kept.findIndex(({ section }) => section === ADDITIONAL);
  const written = write(source, {
    question,
    // One OPT record, whatever else says that it is one.
    records: kept.filter(({ section }, index) => section !== ADDITIONAL || index === options),
  });
  const parsed = written === null ? null : parse(written);
  if (written === null || parsed === null) return null;
  const timeToLive = timeToLiveOf(view, kept, { code: responseCode(parsed.flags), chain, type });
  return { answer: written, parsed: { ...parsed, timeToLive } };
}

/** The names that the question leads to, its own first; null where a CNAME cannot be read. */
function followChain(
  { names }: Source,
  records: readonly ResourceRecord[],
  { question, type }: { question: DomainName; type: number },
): Chain | null {
  const targets = new Map<string, ResourceRecord>();
  for (const record of records) {
    if (record.section !== ANSWER || record.type !== TYPE_CNAME) continue;
    if (!targets.has(record.owner.key)) targets.set(record.owner.key, record);
  }
  const chain = [question];
  const isFollowed = type !== TYPE_CNAME && type !== TYPE_ANY;
  for (let name = question; isFollowed && chain.length < MAX_CHAIN;) {
    const record = targets.get(name.key);
    if (record === undefined) break;
    targets.delete(name.key);
    const target = names.read(record.data);
    if (target === null || target.end > record.end) return null;
    name = target.name;
    chain.push(name);
  }
  const domains = new Set<string>();
  for (const name of chain) {
    for (let end: DomainName | null = name; end !== null; end = end.rest) domains.add(end.key);
  }
  return { names: new Set(chain.map(({ key }) => key)), domains, last: chain.at(-1)! };
}

function belongs(
  { section, owner, type, data, end }: ResourceRecord,
  { view, chain, dnssecOk }: { view: DataView; chain: Chain; dnssecOk: boolean },
): boolean {
  if (section === ADDITIONAL) return type === TYPE_OPT && owner.count === 0;
  if (type === TYPE_OPT) return false;
  const covered = type === TYPE_RRSIG && end - data >= 2 ? view.getUint16(data) : type;
  if (section === ANSWER) {
    if (chain.names.has(owner.key)) return true;
    // Of it a CNAME in the chain was made (RFC 6672 section 3.1).
    return covered === TYPE_DNAME && chain.domains.has(owner.key);
  }
  if (type === TYPE_SOA) return isInDomain(chain.last, owner);
  if (!dnssecOk) return false;
  return covered === TYPE_SOA || covered === TYPE_NSEC || covered === TYPE_NSEC3;
}

/** For an answer, the shortest time to live; for "there is none", what the SOA says (RFC 2308 section 5). */
function timeToLiveOf(
  view: DataView,
  records: readonly ResourceRecord[],
  { code, chain, type }: { code: number; chain: Chain; type: number },
): number {
  if (code !== RCODE_NO_ERROR && code !== RCODE_NAME_ERROR) return 0;
  const answers = records.filter(({ section }) => section === ANSWER);
  const times = answers.map(({ timeToLive }) => timeToLive);
  const isThere = code === RCODE_NO_ERROR &&
    answers.some((record) =>
      record.owner.key === chain.last.key && (record.type === type || type === TYPE_ANY)
    );
  if (isThere) return Math.min(...times);
  // A chain that leads nowhere is as true as that there is nothing at its end.
  const authority = records.find(({ section, type }) => section === AUTHORITY && type === TYPE_SOA);
  if (authority === undefined || authority.end - authority.data < SOA_NUMBERS_SIZE) return 0;
  const minimum = clamped(view.getUint32(authority.end - 4));
  return Math.min(...times, authority.timeToLive, minimum, MAX_NEGATIVE_TIME_TO_LIVE);
}

function write(
  source: Source,
  { question, records }: {
    question: { readonly name: DomainName; readonly end: number };
    records: readonly ResourceRecord[];
  },
): Uint8Array<ArrayBuffer> | null {
  const { message, view } = source;
  const writer = new MessageWriter();
  const count = (section: number) => records.filter((record) => record.section === section).length;
  writer.append(message.subarray(0, 4));
  for (const value of [1, count(ANSWER), count(AUTHORITY), count(ADDITIONAL)]) writer.u16(value);
  writer.name(question.name, true);
  writer.append(message.subarray(question.end, question.end + 4));
  for (const record of records) {
    if (!writer.isWhole || !writeRecord(writer, source, record)) return null;
  }
  writer.patch16(2, view.getUint16(2) & ~FLAG_TRUNCATED);
  return writer.isWhole ? writer.finish() : null;
}

function writeRecord(
  writer: MessageWriter,
  { message, names: reader }: Source,
  record: ResourceRecord,
): boolean {
  const { owner, type, recordClass, timeToLive, data, end } = record;
  writer.name(owner, true);
  writer.u16(type);
  writer.u16(recordClass);
  writer.u32(timeToLive);
  // Options are between two neighbours and not to be passed on, nor kept (RFC 6891 section 6.1.1).
  if (type === TYPE_OPT) {
    writer.u16(0);
    return true;
  }
  const { before, names, mayCompress } = NAMES_IN_DATA.get(type) ?? NO_NAMES;
  let isRead = data + before <= end;
  writer.sized(() => {
    let at = data + before;
    if (isRead) writer.append(message.subarray(data, at));
    for (let left = names; left > 0 && isRead; left--) {
      const name = reader.read(at);
      isRead = name !== null && name.end <= end;
      if (name === null || !isRead) break;
      writer.name(name.name, mayCompress);
      at = name.end;
    }
    if (isRead) writer.append(message.subarray(at, end));
  });
  return isRead;
}

function readRecords({ message, view, names }: Source, start: number): ResourceRecord[] | null {
  const records: ResourceRecord[] = [];
  let at = start;
  for (const section of [ANSWER, AUTHORITY, ADDITIONAL]) {
    for (let left = view.getUint16(6 + 2 * section); left > 0; left--) {
      const name = names.read(at);
      if (name === null || name.end + 10 > message.length) return null;
      const data = name.end + 10;
      const end = data + view.getUint16(name.end + 8);
      if (end > message.length) return null;
      const type = view.getUint16(name.end);
      const value = view.getUint32(name.end + 4);
      records.push({
        section,
        owner: name.name,
        type,
        recordClass: view.getUint16(name.end + 2),
        // What stands there in an OPT record are flags.
        timeToLive: type === TYPE_OPT ? value : clamped(value),
        data,
        end,
      });
      at = end;
    }
  }
  return records;
}

/** A value with its highest bit set counts as 0 (RFC 2181 section 8). */
function clamped(value: number): number {
  return value > 0x7fff_ffff ? 0 : Math.min(value, MAX_TIME_TO_LIVE);
}

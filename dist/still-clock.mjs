// For node --import: the time is SOURCE_DATE_EPOCH, so that what a program packs
// is the same at any time.
const now = Number(process.env.SOURCE_DATE_EPOCH) * 1000;
const Time = Date;
globalThis.Date = class Date extends Time {
  constructor(...given) {
    super(...(given.length > 0 ? given : [now]));
  }
  static now() {
    return now;
  }
};

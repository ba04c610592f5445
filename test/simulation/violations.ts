export type Invariant =
  | 'I1'
  | 'I3'
  | 'I4'
  | 'I5'
  | 'I6'
  | 'I7'
  | 'I8'
  | 'I9'
  | 'I11'
  | 'I12'
  | 'I13'
  | 'I14'
  | 'I16'
  | 'I18'
  | 'I19'
  | 'failure';

/** A rule that a run broke, and where. */
export type Violation = { readonly invariant: Invariant; readonly detail: string; readonly step: number };

/** What a cluster knows of a job. */
export interface Found {
  /** As the cluster names it. */
  readonly id: string;
  /** How it ended, if it has. */
  readonly end?: 'well' | 'badly';
  /** In the cluster's words: PENDING (Priority), OOMKilled. */
  readonly detail: string;
}

/** Something that trains elsewhere. Methods throw MAAS_PROGRAM when it does not answer. */
export interface Cluster {
  readonly title: string;
  /** What describes the job: the name of a file, and its text. */
  readonly file: { readonly name: string; readonly text: string };
  /** Where all that the job prints is: a file, or a command that shows it. */
  readonly log: string;
  /** Command lines for people. */
  readonly words: { submit(file: string): string; cancel(id: string): string };
  /**
   * The job that bears the name.
   * @param id Of a job that was there before: one that is not there any more has ended.
   */
  find(id?: string): Promise<Found | undefined>;
  /** Has the cluster do what the file describes, in the place of one that has ended; gives the job's id. */
  submit(file: string): Promise<string>;
  /** The last lines that maas has printed in the job, events among them. */
  tail(): Promise<readonly string[]>;
  /**
   * Copies what the training left in the `.maas` of its project: the record and the artifact. Left out where that is the
   * `.maas` here.
   */
  fetch?(into: string): Promise<void>;
}
